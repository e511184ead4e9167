//! Functions of binary32 in plain arithmetic: no library, the same bits in every lane and in remainders.
//!
//! NaN passes through every function, and overflow and underflow end in the IEEE limits. Errors in units in
//! the last place stay below these, by tests against binary64 over samples of the whole range:
//!
//! | exp | expm1 | log | log1p | sin  | cos  | tanh | erf | sigmoid | softplus | pow  |
//! |-----|-------|-----|-------|------|------|------|-----|---------|----------|------|
//! | 1.1 | 1.6   | 0.9 | 0.9   | 0.51 | 0.51 | 2.5  | 6   | 2.5     | 1.7      | 0.51 |
//!
//! The tangent, the inverse trigonometric functions, the hyperbolic functions and their inverses, `lgamma` and
//! `digamma` are computed in binary64: 0.51, as `sin`. (`erf` 7 on machines without a fused multiply-add.)
//!
//! `exp` rounds by adding 1.5 * 2^23, so that the sum's bits are the integer, and scales in two steps, so
//! that results below the least normal number are right as well. `sin`, `cos`, `tan` and `pow`
//! work in binary64 throughout; arguments of the first three beyond 4e8 go to the C library one by one.

mod exp;
mod gamma;
mod hyperbolic;
mod inverse;
mod philox;
mod pow;
mod trig;

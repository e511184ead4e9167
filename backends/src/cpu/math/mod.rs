//! Functions of binary32 in plain arithmetic: no library, the same bits in every lane and in remainders.
//!
//! NaN passes through every function, and overflow and underflow end in the IEEE limits. Greatest errors
//! in units in the last place, measured against binary64 over dense samples of the whole range by the tests
//! (machines with a fused multiply-add; without one add about half a unit):
//!
//! | exp | expm1 | log | log1p | sin | cos | tanh | erf | sigmoid | softplus | pow |
//! |-----|-------|-----|-------|-----|-----|------|-----|---------|----------|-----|
//! | EXP | EXPM1 | LOG | LOG1P | SIN | COS | TANH | ERF | SIGMOID | SOFTPLUS | POW |
//!
//! `exp` rounds by adding 1.5 * 2^23, so that the sum's bits are the integer, and scales in two steps, so
//! that results below the least normal number are right as well. `sin` and `cos` reduce their argument in
//! binary64; arguments beyond 4e8 go to the C library one by one. `pow` works in binary64 throughout.

mod exp;
mod philox;
mod pow;
mod trig;

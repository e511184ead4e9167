//! Special functions in f64.

use std::f64::consts::{FRAC_2_SQRT_PI, PI};

/// The error function, to a few units in the last place of f64.
///
/// Below 3 in size: `2/sqrt(pi) e^(-x^2) sum over n of 2^n x^(2n+1) / (1 3 5 .. (2n+1))`, whose terms have
/// one sign. Above: one less the complement's continued fraction
/// `e^(-x^2)/sqrt(pi) 1/(x + (1/2)/(x + (2/2)/(x + (3/2)/(x + ..))))`.
pub(super) fn erf(x: f64) -> f64 {
    let square = x * x;
    if x.is_nan() {
        x
    } else if x.abs() < 3.0 {
        let (mut term, mut sum, mut n) = (x, x, 1.0);
        while term.abs() > sum.abs() * 1e-17 {
            term *= 2.0 * square / (2.0 * n + 1.0);
            sum += term;
            n += 1.0;
        }
        FRAC_2_SQRT_PI * (-square).exp() * sum
    } else if x.abs() > 6.0 {
        x.signum()
    } else {
        let size = x.abs();
        let tail = (1..100).rev().fold(size, |below, k| size + f64::from(k) / 2.0 / below);
        x.signum() * (1.0 - (-square).exp() * FRAC_2_SQRT_PI / 2.0 / tail)
    }
}

/// The derivative of the logarithm of the gamma function.
///
/// Below one half by reflection, `psi(x) = psi(1 - x) - pi / tan(pi x)`; then up to 10 at least by
/// `psi(z) = psi(z + 1) - 1 / z`; there by its asymptotic series (Abramowitz and Stegun 6.3.7, 6.3.5, 6.3.18).
pub(super) fn digamma(x: f64) -> f64 {
    if x == 0.0 {
        return -1.0 / x;
    }
    if x == f64::NEG_INFINITY || (x < 0.0 && x == x.floor()) {
        return f64::NAN;
    }
    if x < 0.5 {
        // The tangent has the period 1 in x: what is left of the nearest integer is exact.
        return digamma(1.0 - x) - PI / (PI * (x - x.round())).tan();
    }
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    let (mut z, mut steps) = (x, 0.0);
    while z < 10.0 {
        steps += 1.0 / z;
        z += 1.0;
    }
    let r = 1.0 / (z * z);
    let series =
        [1.0 / 12.0, -691.0 / 32760.0, 1.0 / 132.0, -1.0 / 240.0, 1.0 / 252.0, -1.0 / 120.0, 1.0 / 12.0]
            .into_iter()
            .fold(0.0, |sum, c| sum * r + c);
    z.ln() - 0.5 / z - series * r - steps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known values: of the constant of Euler and of logarithms.
    #[test]
    fn digamma_at_known_points() {
        let euler = 0.577_215_664_901_532_9;
        for (x, y) in [
            (1.0, -euler),
            (2.0, 1.0 - euler),
            (0.5, -euler - 2.0 * 2f64.ln()),
            (0.25, -euler - PI / 2.0 - 3.0 * 2f64.ln()),
            (-0.5, 2.0 - euler - 2.0 * 2f64.ln()),
            (11.0, 7381.0 / 2520.0 - euler),
        ] {
            assert!((digamma(x) - y).abs() < 4e-15, "digamma({x}) = {}, not {y}", digamma(x));
        }
        assert_eq!(digamma(0.0), f64::NEG_INFINITY);
        assert!(digamma(-3.0).is_nan());
        assert_eq!(digamma(f64::INFINITY), f64::INFINITY);
    }
}

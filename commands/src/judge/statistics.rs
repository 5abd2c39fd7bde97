//! The few pieces of statistics that the judge rests on: tails of three distributions, and the variance of a mean of
//! readings that follow one another and are therefore not independent.

/// The autocorrelation from one sample to the next that is always reckoned with. Estimated from sixteen or even
/// sixty samples it comes out too low about as often as too high, and too low means a healthy scaling taken back.
const LEAST_AUTOCORRELATION: f64 = 0.8;
/// Above this, samples of one window no longer tell anything apart from a trend.
const MOST_AUTOCORRELATION: f64 = 0.95;

/// The chance that a standard normal value is greater than `z`; good to seven digits of it.
pub(super) fn normal_tail(z: f64) -> f64 {
    // The complementary error function by a Chebyshev fit (Numerical Recipes, `erfcc`).
    const FIT: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    if z.is_nan() {
        return 1.0;
    }
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x);
    let tail = 0.5 * t * (FIT.iter().rev().fold(0.0, |sum, c| sum * t + c) - x * x).exp();
    if z < 0.0 { 1.0 - tail } else { tail }
}

/// The chance that a value of Student's distribution with `df` degrees of freedom is greater than `t`.
pub(super) fn student_tail(t: f64, df: f64) -> f64 {
    if t.is_nan() || df.is_nan() || df <= 0.0 {
        return 1.0;
    }
    if df > 200.0 {
        return normal_tail(t);
    }
    let tail = 0.5 * incomplete_beta(df / 2.0, 0.5, df / (df + t * t));
    if t < 0.0 { 1.0 - tail } else { tail }
}

/// The chance of at least `hits` of `total` when each is a hit with chance `share`. The counts need not be whole:
/// counts of things that come in clumps are divided by the clumps' size first.
pub(super) fn binomial_tail(hits: f64, total: f64, share: f64) -> f64 {
    if !(hits > 0.0 && total > 0.0 && share < 1.0) {
        return 1.0;
    }
    if share <= 0.0 {
        return 0.0;
    }
    if total > 5_000.0 {
        let spread = (total * share * (1.0 - share)).sqrt();
        return normal_tail((hits - 0.5 - total * share) / spread);
    }
    incomplete_beta(hits, (total - hits).max(0.0) + 1.0, share)
}

/// The regularised incomplete beta function, by Lentz's continued fraction.
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x.is_nan() {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, 1.0 - x) / b
    }
}

fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let safe = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut upper = 1.0;
    let mut lower = 1.0 / safe(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = lower;
    for step in 1..500 {
        let step = f64::from(step);
        let at = a + 2.0 * step;
        let even = step * (b - step) * x / ((at - 1.0) * at);
        let odd = -(a + step) * (a + b + step) * x / (at * (at + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            lower = 1.0 / safe(1.0 + term * lower);
            upper = safe(1.0 + term / upper);
            change = lower * upper;
            fraction *= change;
        }
        if (change - 1.0).abs() < 1e-12 {
            break;
        }
    }
    fraction
}

/// The logarithm of the gamma function, by Lanczos' approximation, for positive values.
fn ln_gamma(x: f64) -> f64 {
    const LANCZOS: [f64; 6] = [
        76.180_091_729_471_46,
        -86.505_320_329_416_77,
        24.014_098_240_830_91,
        -1.231_739_572_450_155,
        0.001_208_650_973_866_179,
        -0.000_005_395_239_384_953,
    ];
    let shifted = x + 5.5;
    let (_, series) = LANCZOS.iter().fold((x, 1.000_000_000_190_015), |(y, sum), c| (y + 1.0, sum + c / (y + 1.0)));
    (x + 0.5) * shifted.ln() - shifted + (2.506_628_274_631_000_5 * series / x).ln()
}

/// By how much more the mean of `n` consecutive readings varies than that of `n` independent ones, when each is
/// correlated with the one before by `rho`.
fn inflation(n: usize, rho: f64) -> f64 {
    let (mut sum, mut power) = (0.0, 1.0);
    for lag in 1..n {
        power *= rho;
        if power < 1e-9 {
            break;
        }
        sum += (1.0 - lag as f64 / n as f64) * power;
    }
    1.0 + 2.0 * sum
}

/// The correlation of consecutive values, between `least` and [`MOST_AUTOCORRELATION`].
fn autocorrelation(centred: &[f64], least: f64) -> f64 {
    let n = centred.len() as f64;
    let square: f64 = centred.iter().map(|value| value * value).sum();
    let product: f64 = centred.iter().zip(centred.iter().skip(1)).map(|(one, next)| one * next).sum();
    if square <= 0.0 || !square.is_finite() {
        return least;
    }
    let found = product / square;
    // A short series' estimate is too low by about this much (Kendall).
    (found + (1.0 + 3.0 * found) / n).clamp(least, MOST_AUTOCORRELATION)
}

/// What one sample contributes to a mean: its value, its weight, and the variance that chance alone gives the value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contribution {
    /// The value.
    pub value: f64,
    /// Its weight; larger where more requests stand behind it.
    pub weight: f64,
    /// The variance of the value if requests were independent of one another.
    pub chance: f64,
}

/// A mean over samples with the variance it really has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mean {
    /// The weighted mean.
    pub value: f64,
    /// Its variance: that of independent requests, and what the samples differ by beyond that, widened because such
    /// differences last from one sample to the next.
    pub variance: f64,
    /// How well that variance is known.
    pub df: f64,
}

impl Mean {
    /// Adds samples up, in the order of time; `None` for fewer than three of them.
    pub(super) fn over(samples: &[Contribution]) -> Option<Self> {
        let n = samples.len();
        if n < 3 {
            return None;
        }
        let weights: f64 = samples.iter().map(|sample| sample.weight).sum();
        let squares: f64 = samples.iter().map(|sample| sample.weight * sample.weight).sum();
        if !(weights > 0.0 && squares > 0.0 && weights.is_finite() && squares.is_finite()) {
            return None;
        }
        let value = samples.iter().map(|sample| sample.weight * sample.value).sum::<f64>() / weights;
        // As many samples of equal weight would tell as much.
        let equal = weights * weights / squares;
        let by_chance =
            samples.iter().map(|sample| sample.weight.powi(2) * sample.chance).sum::<f64>() / weights.powi(2);
        let spread = samples.iter().map(|sample| sample.weight * (sample.value - value).powi(2)).sum::<f64>() / weights;
        let spread_by_chance =
            samples.iter().map(|sample| sample.weight * sample.chance * (1.0 - sample.weight / weights)).sum::<f64>()
                / weights;
        let centred: Vec<f64> = samples.iter().map(|sample| sample.value - value).collect();
        let rho = autocorrelation(&centred, LEAST_AUTOCORRELATION);
        let widened = widen((spread - spread_by_chance).max(0.0), n, equal, rho);
        let variance = by_chance + widened;
        let df_widened = (n as f64 * (1.0 - rho * rho) / (1.0 + rho * rho)).max(1.0);
        let df = if widened > 0.0 { df_widened * (variance / widened).powi(2) } else { f64::INFINITY };
        (value.is_finite() && variance.is_finite()).then_some(Self { value, variance, df })
    }

    /// The chance of a mean as high as this if the true one were zero. A mean without any variance is a certainty.
    pub(super) fn chance_of_more(&self) -> f64 {
        if self.variance > 0.0 {
            student_tail(self.value / self.variance.sqrt(), self.df)
        } else if self.value > 0.0 {
            0.0
        } else {
            1.0
        }
    }
}

/// The variance of a mean from the variance seen among its `n` readings, worth `equal` of equal weight.
fn widen(spread: f64, n: usize, equal: f64, rho: f64) -> f64 {
    let inflation = inflation(n, rho);
    // Readings that go up and down together stay closer to their own mean than to the true one.
    let seen = (1.0 - inflation / n as f64).max(0.1);
    spread / seen * inflation / equal
}

/// By how much counts clump together: 1.0 when hits come independently of one another, more when they come in bursts
/// that are shared or that last. Each item is (hits beyond the expected, their variance if independent), in order.
pub(super) fn clumping(samples: &[(f64, f64)]) -> f64 {
    let n = samples.len();
    let variance: f64 = samples.iter().map(|(_, variance)| variance).sum();
    if n < 3 || variance <= 0.0 || !variance.is_finite() {
        return 1.0;
    }
    let raw = samples.iter().map(|(beyond, _)| beyond * beyond).sum::<f64>() / variance * n as f64 / (n - 1) as f64;
    // Errors are mostly independent and always few: reckoning with lasting clumps that nothing shows would hide bursts.
    let rho = autocorrelation(&samples.iter().map(|(beyond, _)| *beyond).collect::<Vec<_>>(), 0.0);
    1.0 + widen((raw - 1.0).max(0.0), n, 1.0, rho)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, wanted: f64) {
        assert!((found - wanted).abs() <= 1e-5 * wanted.abs().max(1e-3), "{found} is not {wanted}");
    }

    #[test]
    fn tails_are_those_of_the_tables() {
        close(normal_tail(1.959_964), 0.025);
        close(normal_tail(-1.0), 0.841_344_7);
        close(student_tail(2.570_582, 5.0), 0.025);
        close(student_tail(-3.365, 5.0), 0.99);
        // At least 3 of 10 at one in ten; at least 13 of 13 at one half.
        close(binomial_tail(3.0, 10.0, 0.1), 0.070_190_8);
        close(binomial_tail(13.0, 13.0, 0.5), 0.5_f64.powi(13));
        close(binomial_tail(0.0, 10.0, 0.1), 1.0);
    }

    #[test]
    fn independent_readings_are_not_widened_much_and_lasting_ones_are() {
        close(inflation(1, 0.8), 1.0);
        close(inflation(2, 0.8), 1.8);
        assert!((8.0..9.0).contains(&inflation(56, 0.8)));

        let alike = |value: f64| Contribution { value, weight: 1.0, chance: 1.0 };
        let steady: Vec<_> = (0..40).map(|n| alike(if n % 2 == 0 { 0.9 } else { -0.9 })).collect();
        let steady = Mean::over(&steady).unwrap();
        close(steady.variance, 1.0 / 40.0);
        let wavy: Vec<_> = (0..40).map(|n| alike(if n / 10 % 2 == 0 { 3.0 } else { -3.0 })).collect();
        let wavy = Mean::over(&wavy).unwrap();
        assert!(wavy.variance > 8.0 * 8.0 / 40.0, "{wavy:?}");
        assert!(wavy.df < 10.0 * (wavy.variance / (wavy.variance - 0.025)).powi(2), "{wavy:?}");
    }

    #[test]
    fn errors_that_come_in_a_burst_count_for_less_than_scattered_ones() {
        let scattered: Vec<_> = (0..40).map(|n| (if n % 2 == 0 { 1.0 } else { -1.0 }, 1.0)).collect();
        assert!(clumping(&scattered) < 1.3);
        let burst: Vec<_> = (0..40).map(|n| (if n / 8 == 2 { 8.0 } else { -2.0 }, 1.0)).collect();
        assert!(clumping(&burst) > 50.0);
        close(clumping(&[]), 1.0);
    }

    #[test]
    fn what_is_no_number_proves_nothing() {
        close(normal_tail(f64::NAN), 1.0);
        close(student_tail(f64::NAN, 5.0), 1.0);
        close(student_tail(3.0, f64::NAN), 1.0);
        close(binomial_tail(f64::NAN, 10.0, 0.1), 1.0);
        assert!(Mean::over(&[Contribution { value: f64::NAN, weight: 1.0, chance: 1.0 }; 5]).is_none());
        close(ln_gamma(5.0), 24_f64.ln());
    }
}

// SPDX-License-Identifier: GPL-2.0-only

//! Medians, and how sure they are.
//!
//! Times are not normally distributed: an interrupt makes a sample much longer, and nothing makes one
//! shorter. So there are medians, and intervals by the percentile bootstrap, which assumes no
//! distribution. A repetition has one sample of each variant, taken one after the other; what is drawn
//! are repetitions, so that what held up all of one does not make a ratio less sure.

/// How often is drawn.
const RESAMPLES: usize = 2000;

/// Any number; the same one gives the same intervals.
const SEED: u64 = 1;

/// The middle; NaN of nothing.
pub fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let half = sorted.len() / 2;
    match sorted.len() % 2 {
        _ if sorted.is_empty() => f64::NAN,
        0 => (sorted[half - 1] + sorted[half]) / 2.0,
        _ => sorted[half],
    }
}

/// The value that a share of all does not exceed; NaN of nothing.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let sorted = sorted(values);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    let at = rank.saturating_sub(1);
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The 95 % interval of the median.
pub fn median_interval(values: &[f64]) -> [f64; 2] {
    interval(values.len(), |drawn| median(&pick(values, drawn)))
}

/// The 95 % interval of the ratio of the medians of two variants, of as many samples each.
pub fn ratio_interval(one: &[f64], other: &[f64]) -> [f64; 2] {
    interval(one.len().min(other.len()), |drawn| {
        median(&pick(one, drawn)) / median(&pick(other, drawn))
    })
}

fn pick(values: &[f64], drawn: &[usize]) -> Vec<f64> {
    drawn.iter().map(|&at| values[at]).collect()
}

fn interval(repetitions: usize, statistic: impl Fn(&[usize]) -> f64) -> [f64; 2] {
    if repetitions == 0 {
        return [f64::NAN; 2];
    }
    let mut random = fastrand::Rng::with_seed(SEED);
    let results: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn: Vec<usize> = (0..repetitions)
                .map(|_| random.usize(..repetitions))
                .collect();
            statistic(&drawn)
        })
        .collect();
    [quantile(&results, 0.025), quantile(&results, 0.975)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quantiles() {
        assert!(median(&[]).is_nan() && quantile(&[], 0.5).is_nan());
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[9.0, 1.0, 2.0, 3.0]), 2.5);
        let hundred: Vec<f64> = (1..=100u32).map(f64::from).collect();
        assert_eq!(quantile(&hundred, 0.99), 99.0);
        assert_eq!(quantile(&hundred, 1.0), 100.0);
        assert_eq!(quantile(&hundred, 0.0), 1.0);
    }

    #[test]
    fn intervals_are_around_the_median_and_repeatable() {
        let values: Vec<f64> = (0..40u32).map(|n| 100.0 + f64::from(n * 7 % 40)).collect();
        let [low, high] = median_interval(&values);
        let middle = median(&values);
        assert!(100.0 < low && low < middle && middle < high && high < 139.0);
        assert_eq!([low, high], median_interval(&values));
        assert_eq!(median_interval(&[5.0; 10]), [5.0, 5.0]);
        assert!(median_interval(&[]).iter().all(|end| end.is_nan()));
    }

    #[test]
    fn what_holds_up_a_repetition_is_in_both() {
        // Twice as long in each repetition, whatever that one had to wait for.
        let other: Vec<f64> = (0..30u32).map(|n| 1.0 + f64::from(n * n % 17)).collect();
        let ours: Vec<f64> = other.iter().map(|value| 2.0 * value).collect();
        assert_eq!(ratio_interval(&ours, &other), [2.0, 2.0]);
    }
}

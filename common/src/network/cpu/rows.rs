//! Operations on single rows, in forms that the compiler vectorises. Each number is computed in the
//! same order whatever the batch.

use crate::network::{Activation, NORM_EPSILON};

/// Numbers that are summed side by side.
const LANES: usize = 16;

/// Sum of `term` over pairs, in an order that depends on their number only.
#[inline(always)]
fn sum_with<const LANES: usize>(
    left: &[f32],
    right: &[f32],
    term: impl Fn(f32, f32) -> f32,
) -> f32 {
    let mut sums = [0.0; LANES];
    let (left, right) = (left.chunks_exact(LANES), right.chunks_exact(LANES));
    let rest = left.remainder().iter().zip(right.remainder());
    let rest: f32 = rest.map(|(a, b)| term(*a, *b)).sum();
    for (left, right) in left.zip(right) {
        for (sum, (a, b)) in sums.iter_mut().zip(left.iter().zip(right)) {
            *sum += term(*a, *b);
        }
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            sums[i] += sums[i + width];
        }
    }
    sums[0] + rest
}

/// The inner product of two vectors of one length.
pub(super) fn dot(left: &[f32], right: &[f32]) -> f32 {
    sum_with::<4>(left, right, |a, b| a * b)
}

/// `(x - mean) / sqrt(variance + NORM_EPSILON) * weight + bias`, then the activation.
pub(super) fn layer_norm(
    input: &[f32],
    (weight, bias): (&[f32], &[f32]),
    activation: Activation,
    output: &mut [f32],
) {
    let count = input.len() as f32;
    let mean = sum_with::<LANES>(input, input, |x, _| x) / count;
    let variance = sum_with::<LANES>(input, input, |x, _| (x - mean) * (x - mean)) / count;
    let scale = 1.0 / (variance + NORM_EPSILON).sqrt();
    for ((y, x), (weight, bias)) in output.iter_mut().zip(input).zip(weight.iter().zip(bias)) {
        *y = (x - mean) * scale * weight + bias;
    }
    match activation {
        Activation::Identity => {}
        Activation::Relu => output.iter_mut().for_each(|y| *y = if *y < 0.0 { 0.0 } else { *y }),
        Activation::Gelu => gelu(output),
    }
}

/// Scores to probabilities, in place.
pub(super) fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = exp(*score - largest));
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// x times the normal distribution function of x, in place. Its erf is formula 7.1.26 of Abramowitz
/// and Stegun, within 1.5e-7.
pub(super) fn gelu(values: &mut [f32]) {
    const COEFFICIENTS: [f32; 5] =
        [1.061_405_4, -1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6];
    for value in values {
        let x = *value;
        let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
        let t = 1.0 / (1.0 + 0.327_591_1 * z);
        let polynomial = COEFFICIENTS.iter().fold(0.0, |sum, c| sum * t + c) * t;
        let tail = 0.5 * polynomial * exp(-z * z);
        *value = x * if x < 0.0 { tail } else { 1.0 - tail };
    }
}

/// e^x of a number that is not above 0, within 2e-7 of itself.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding it rounds to a whole number, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    const COEFFICIENTS: [f32; 7] =
        [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0];
    // NaN stays: the smaller of two, if one is NaN, is the other, hence no `max`.
    let x = if x < -87.0 { -87.0 } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let power = rounded - ROUND;
    // ln 2 in two parts, the first with few bits, so that the product is exact.
    let rest = x - power * 0.693_359_4 - power * -2.121_944_4e-4;
    let series = COEFFICIENTS.iter().fold(0.0, |sum, c| sum * rest + c) * rest + 1.0;
    let scale = (rounded.to_bits() << 23).wrapping_add(127 << 23);
    series * f32::from_bits(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_those_of_the_library() {
        for i in 0..100_000 {
            let x = -0.000_85 * i as f32;
            let (ours, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((ours - exact).abs() <= 2e-7 * exact, "e^{x}: {ours}, {exact}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 2e-38);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn gelu_is_x_times_the_normal_distribution_function() {
        // From tables of the normal distribution function.
        let known = [(-3.0, 0.001_349_898), (-1.0, 0.158_655_25), (0.0, 0.5), (0.5, 0.691_462_46)];
        for (x, phi) in known.into_iter().chain([(2.0, 0.977_249_9), (9.0, 1.0)]) {
            let mut value = [x];
            gelu(&mut value);
            assert!((value[0] - x * phi).abs() < 1e-6, "{x}: {} is not {}", value[0], x * phi);
        }
    }

    #[test]
    fn sums_take_every_number_once() {
        for length in 0..70 {
            let values: Vec<f32> = (1..=length).map(|i| i as f32).collect();
            let squares: f32 = (1..=length).map(|i| (i * i) as f32).sum();
            assert_eq!(dot(&values, &values), squares, "{length} numbers");
        }
    }
}

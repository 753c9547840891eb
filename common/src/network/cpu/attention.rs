//! Attention of one query at a time: its result depends on the keys and values that it sees alone.

use super::rows::{dot, softmax};

/// Keys and values, `[elements, 2 width]`: an element's keys, then its values.
pub(super) type KeyValues<'a> = &'a [f32];

/// Writes the mean of the values, for each head on its part of the columns, weighted by the softmax
/// of query · key / sqrt(columns of a head). `weights` is memory.
pub(super) fn attend(
    query: &[f32],
    key_values: KeyValues<'_>,
    heads: usize,
    weights: &mut Vec<f32>,
    output: &mut [f32],
) {
    let width = query.len();
    let (size, visible) = (width / heads, key_values.len() / (2 * width));
    let scale = 1.0 / (size as f32).sqrt();
    weights.clear();
    weights.resize(heads * visible, 0.0);
    for (element, row) in key_values.chunks_exact(2 * width).enumerate() {
        let parts = query.chunks_exact(size).zip(row[..width].chunks_exact(size));
        for (head, (query, key)) in parts.enumerate() {
            weights[head * visible + element] = scale * dot(query, key);
        }
    }
    weights.chunks_exact_mut(visible).for_each(softmax);
    output.fill(0.0);
    for (element, row) in key_values.chunks_exact(2 * width).enumerate() {
        let parts = output.chunks_exact_mut(size).zip(row[width..].chunks_exact(size));
        for (head, (sum, value)) in parts.enumerate() {
            let weight = weights[head * visible + element];
            sum.iter_mut().zip(value).for_each(|(sum, value)| *sum += weight * value);
        }
    }
}

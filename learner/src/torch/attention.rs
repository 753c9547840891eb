//! Attention within sequences of different lengths. They are padded to the longest for libtorch's
//! fused operator, and for it alone: all other operations of a network see no padding.

use tch::{Device, Kind, TchError, Tensor};
use tributary_common::network::Sequences;

/// As `Backend::attention` says: `query` `[queries, width]`, `key_value` `[elements, 2 width]`.
pub(super) fn attention(
    query: &Tensor,
    key_value: &Tensor,
    heads: i64,
    sequences: &Sequences,
) -> Result<Tensor, TchError> {
    let padded = Padded::new(sequences);
    let (_, width) = query.size2()?;
    if padded.sequences == 0 {
        return query.f_zeros_like();
    }
    let device = query.device();
    let by_head = |rows: Tensor, length: i64, parts: i64| {
        rows.f_view([padded.sequences, length, parts, heads, width / heads])?
            .f_permute([2, 0, 3, 1, 4])
    };
    let key_value = take(key_value, &padded.elements, device)?;
    let key_value = by_head(key_value, padded.longest, 2)?;
    let (key, value) = (key_value.f_select(0, 0)?, key_value.f_select(0, 1)?);
    let query = by_head(take(query, &padded.queries, device)?, padded.most_queries, 1)?;
    let visible = Tensor::f_from_slice(&padded.visible)?.f_to_device(device)?.f_view([
        padded.sequences,
        1,
        padded.most_queries,
        1,
    ])?;
    let elements = Tensor::f_arange(padded.longest, (Kind::Int, device))?;
    let mask = visible.f_gt_tensor(&elements)?;
    let mixed = Tensor::f_scaled_dot_product_attention(
        &query.f_select(0, 0)?,
        &key,
        &value,
        Some(&mask),
        0.0,
        false,
        None,
        false,
    )?;
    let mixed = mixed.f_transpose(1, 2)?.f_reshape([-1, width])?;
    take(&mixed, &padded.places, device)
}

/// Some rows; all of them in their order as they are.
fn take(rows: &Tensor, indices: &[i32], device: Device) -> Result<Tensor, TchError> {
    let is_whole = rows.size2()?.0 == indices.len() as i64
        && indices.iter().enumerate().all(|(i, &index)| i == index as usize);
    if is_whole {
        return Ok(rows.shallow_clone());
    }
    rows.f_index_select(0, &Tensor::f_from_slice(indices)?.f_to_device(device)?)
}

/// Where everything is in a batch of sequences that are all as long as the longest.
struct Padded {
    sequences: i64,
    longest: i64,
    most_queries: i64,
    /// The element at each place, `[sequences, longest]`; the sequence's last where there is none.
    elements: Vec<i32>,
    /// The query at each place, `[sequences, most_queries]`; any where there is none.
    queries: Vec<i32>,
    /// How many elements it sees; 1 where there is none, as a softmax of nothing is not finite.
    visible: Vec<i32>,
    /// The place of each query.
    places: Vec<i32>,
}

impl Padded {
    fn new(sequences: &Sequences) -> Self {
        let count = sequences.len();
        let longest = (0..count).map(|i| sequences.elements(i).len()).max().unwrap_or(0);
        let mut asked = vec![0; count];
        for query in &sequences.queries {
            asked[query.sequence as usize] += 1;
        }
        let most_queries = asked.iter().copied().max().unwrap_or(0);
        let mut elements = Vec::with_capacity(count * longest);
        for sequence in 0..count {
            let own = sequences.elements(sequence);
            elements.extend((0..longest).map(|i| (own.start + i).min(own.end - 1) as i32));
        }
        let mut queries = vec![0; count * most_queries];
        let mut visible = vec![1; count * most_queries];
        let mut places = Vec::with_capacity(sequences.queries.len());
        asked.fill(0);
        for (index, query) in sequences.queries.iter().enumerate() {
            let sequence = query.sequence as usize;
            let place = sequence * most_queries + asked[sequence];
            asked[sequence] += 1;
            queries[place] = index as i32;
            visible[place] = query.visible as i32;
            places.push(place as i32);
        }
        let [sequences, longest, most_queries] = [count, longest, most_queries].map(|n| n as i64);
        Self { sequences, longest, most_queries, elements, queries, visible, places }
    }
}

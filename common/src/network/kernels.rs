//! The products of a network's passes on one CPU thread, in f32: dense input times weights
//! ([`PackedLinear`]) and sums of weight rows for one-hot inputs ([`PackedEmbedding`]), each with
//! bias and activation fused (but GELU, which is left to the caller); and what training needs
//! besides, the product of two matrices over their rows ([`PackedLinear::add_over_rows`]).
//!
//! **A row's result does not depend on the batch it is in.** Each output starts at its bias and
//! adds its terms in the order of the inputs, one after another, whatever the tile; a tile only
//! decides how many outputs advance together. So lockstep runs are exact. AVX-512 and AVX2 round
//! alike (fused multiply-add) and agree to the bit; the portable code rounds twice per term.
//!
//! This is the only file of the workspace with `unsafe`: calls to functions compiled for
//! instructions that were detected ([`with_wide_vectors`] does so for others), sixteen floats taken
//! for vector registers, and one unchecked index in the innermost loop.
#![allow(unsafe_code)]

use super::Activation;

/// Outputs in one panel of packed weights: one register of AVX-512, two of AVX2, four of SSE2.
const PANEL: usize = 16;

/// A panel's weights of one input. Aligned, so that no load straddles two cache lines.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Lane([f32; PANEL]);

impl Lane {
    /// The first values, and zeros where there are too few.
    #[inline]
    fn of(values: &[f32]) -> Self {
        match values.first_chunk() {
            Some(values) => Self(*values),
            None => {
                let mut lane = [0.0; PANEL];
                lane[..values.len()].copy_from_slice(values);
                Self(lane)
            }
        }
    }
}

/// A layer's parameters: panels of [`PANEL`] outputs, each its bias and then one lane per input,
/// padded with zeros.
#[derive(Clone, Debug, Default)]
struct Panels {
    inputs: usize,
    outputs: usize,
    lanes: Vec<Lane>,
}

impl Panels {
    /// Takes the biases (`[outputs]`, zeros without) and makes room for the weights, which `fill`
    /// writes to the lanes of each panel from its first column on.
    fn pack(
        &mut self,
        bias: Option<&[f32]>,
        [inputs, outputs]: [usize; 2],
        mut fill: impl FnMut(&mut [Lane], usize),
    ) {
        assert!(inputs > 0 && outputs > 0, "a layer needs inputs and outputs");
        (self.inputs, self.outputs) = (inputs, outputs);
        self.lanes.resize(outputs.div_ceil(PANEL) * (1 + inputs), Lane([0.0; PANEL]));
        let panels = self.lanes.chunks_exact_mut(1 + inputs).zip((0..).step_by(PANEL));
        for (panel, column) in panels {
            let width = PANEL.min(outputs - column);
            panel[0] = Lane([0.0; PANEL]);
            if let Some(bias) = bias {
                panel[0].0[..width].copy_from_slice(&bias[column..][..width]);
            }
            fill(&mut panel[1..], column);
        }
    }

    /// Of a weight `[inputs, outputs]`.
    fn pack_columns(&mut self, weight: &[f32], bias: Option<&[f32]>, size: [usize; 2]) {
        let [_, outputs] = size;
        self.pack(bias, size, |lanes, column| {
            for (lane, row) in lanes.iter_mut().zip(weight.chunks_exact(outputs)) {
                *lane = Lane::of(&row[column..]);
            }
        });
    }

    /// Of a weight `[outputs, inputs]`.
    fn pack_rows(&mut self, weight: &[f32], bias: Option<&[f32]>, size: [usize; 2]) {
        let [inputs, outputs] = size;
        self.pack(bias, size, |lanes, column| {
            let rows = &weight[column * inputs..];
            let width = PANEL.min(outputs - column);
            for (input, lane) in lanes.iter_mut().enumerate() {
                *lane = Lane([0.0; PANEL]);
                for (row, value) in lane.0[..width].iter_mut().enumerate() {
                    *value = rows[row * inputs + input];
                }
            }
        });
    }

    /// The panels with their first columns.
    fn iter(&self) -> impl Iterator<Item = (&[Lane], usize)> {
        self.lanes.chunks_exact(1 + self.inputs).zip((0..).step_by(PANEL))
    }
}

/// Where sums go: the rows of an output, `[rows, outputs]`.
struct Target<'a> {
    activation: Activation,
    output: &'a mut [f32],
    outputs: usize,
}

impl Target<'_> {
    /// Writes the lane from `column` on, as far as there are columns, or adds it to what is there.
    #[inline(always)]
    fn write<const ADDS: bool>(&mut self, row: usize, column: usize, mut lane: Lane) {
        let width = PANEL.min(self.outputs - column);
        let columns = &mut self.output[row * self.outputs + column..][..width];
        if let Some(columns) = columns.first_chunk_mut() {
            if ADDS {
                lane.0.iter_mut().zip(&*columns).for_each(|(sum, value)| *sum += value);
            }
            *columns = lane.0;
        } else {
            for (value, sum) in columns.iter_mut().zip(lane.0) {
                *value = if ADDS { *value + sum } else { sum };
            }
        }
    }
}

/// Adds to a panel's bias its product with `ROWS` rows of input, each `stride` behind the one before;
/// or, `ACROSS`, with `ROWS` columns of input whose rows are `stride` apart. The sums go to the
/// target's columns from the given one on.
type Tile =
    unsafe fn(panel: &[Lane], input: &[f32], stride: usize, target: &mut Target<'_>, column: usize);

/// Fails unless a tile reads nothing behind the end of its input.
#[inline(always)]
fn check<const ROWS: usize, const ACROSS: bool>(panel: &[Lane], input: &[f32], stride: usize) {
    let (rows, columns) = if ACROSS { (panel.len() - 1, ROWS) } else { (ROWS, panel.len() - 1) };
    assert!(columns <= stride && rows > 0, "rows must not overlap");
    assert!(input.len() >= (rows - 1) * stride + columns, "input must be [rows, columns]");
}

/// Adds to the biases the weights of one row's features; the target is that row.
type Sum = unsafe fn(panels: &Panels, features: &[u32], target: &mut Target<'_>);

/// The tiles of an instruction set, one for each number of rows.
macro_rules! tiles {
    ($instructions:ident, $across:literal: $($rows:literal)*) => {
        &[$($instructions::tile::<$rows, $across> as Tile),*]
    };
}

/// The code of an instruction set, from its vectors and operations. The sums of a tile stay in
/// registers, so its rows times the vectors per lane must leave room for a lane and an input.
macro_rules! vector_code {
    ($features:literal, $vectors:ty, $broadcast:ident, $multiply_add:ident, $max:ident) => {
        use std::arch::x86_64::*;

        use super::{Activation, Lane, Panels, Target};

        #[inline]
        #[target_feature(enable = $features)]
        fn load(lane: &Lane) -> $vectors {
            // SAFETY: both are 64 bytes of f32, for which every bit pattern is a value.
            unsafe { std::mem::transmute::<Lane, $vectors>(*lane) }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn add_scaled(sum: &mut $vectors, scale: f32, weights: $vectors) {
            for (part, weight) in sum.iter_mut().zip(weights) {
                *part = $multiply_add($broadcast(scale), weight, *part);
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn activated(mut sum: $vectors, activation: Activation) -> Lane {
            if activation == Activation::Relu {
                for part in &mut sum {
                    *part = $max($broadcast(0.0), *part); // the second operand if one is NaN
                }
            }
            // SAFETY: as for `load`.
            unsafe { std::mem::transmute::<$vectors, Lane>(sum) }
        }

        #[target_feature(enable = $features)]
        pub(super) fn tile<const ROWS: usize, const ACROSS: bool>(
            panel: &[Lane],
            input: &[f32],
            stride: usize,
            target: &mut Target<'_>,
            column: usize,
        ) {
            super::check::<ROWS, ACROSS>(panel, input, stride);
            let mut sums = [load(&panel[0]); ROWS];
            for (k, lane) in panel[1..].iter().enumerate() {
                let weights = load(lane);
                for (row, sum) in sums.iter_mut().enumerate() {
                    let index = if ACROSS { k * stride + row } else { row * stride + k };
                    // SAFETY: row < ROWS and k < inputs, for which `check` has looked.
                    let value = unsafe { *input.get_unchecked(index) };
                    add_scaled(sum, value, weights);
                }
            }
            for (row, sum) in sums.into_iter().enumerate() {
                target.write::<ACROSS>(row, column, activated(sum, target.activation));
            }
        }

        #[target_feature(enable = $features)]
        pub(super) fn sum(panels: &Panels, features: &[u32], target: &mut Target<'_>) {
            for (panel, column) in panels.iter() {
                let mut sum = load(&panel[0]);
                for &feature in features {
                    add_scaled(&mut sum, 1.0, load(&panel[1 + feature as usize]));
                }
                target.write::<false>(0, column, activated(sum, target.activation));
            }
        }
    };
}

mod avx512 {
    vector_code!("avx512f", [__m512; 1], _mm512_set1_ps, _mm512_fmadd_ps, _mm512_max_ps);
}

mod avx2 {
    vector_code!("avx2,fma", [__m256; 2], _mm256_set1_ps, _mm256_fmadd_ps, _mm256_max_ps);
}

/// For any processor, in a form that the compiler vectorises.
mod portable {
    use super::{Activation, Lane, Panels, Target};

    fn add_scaled(sum: &mut Lane, scale: f32, weights: &Lane) {
        for (part, weight) in sum.0.iter_mut().zip(weights.0) {
            *part += scale * weight;
        }
    }

    fn write<const ADDS: bool>(sum: Lane, target: &mut Target<'_>, row: usize, column: usize) {
        let relu = |part: f32| if part < 0.0 { 0.0 } else { part }; // NaN stays NaN
        let lane = match target.activation {
            Activation::Identity | Activation::Gelu => sum,
            Activation::Relu => Lane(sum.0.map(relu)),
        };
        target.write::<ADDS>(row, column, lane);
    }

    pub(super) fn tile<const ROWS: usize, const ACROSS: bool>(
        panel: &[Lane],
        input: &[f32],
        stride: usize,
        target: &mut Target<'_>,
        column: usize,
    ) {
        super::check::<ROWS, ACROSS>(panel, input, stride);
        let mut sums = [panel[0]; ROWS];
        for (k, lane) in panel[1..].iter().enumerate() {
            for (row, sum) in sums.iter_mut().enumerate() {
                let index = if ACROSS { k * stride + row } else { row * stride + k };
                add_scaled(sum, input[index], lane);
            }
        }
        for (row, sum) in sums.into_iter().enumerate() {
            write::<ACROSS>(sum, target, row, column);
        }
    }

    pub(super) fn sum(panels: &Panels, features: &[u32], target: &mut Target<'_>) {
        for (panel, column) in panels.iter() {
            let mut sum = panel[0];
            for &feature in features {
                add_scaled(&mut sum, 1.0, &panel[1 + feature as usize]);
            }
            write::<false>(sum, target, 0, column);
        }
    }
}

/// The code for a kind of processor. Its functions are unsafe to call on any other.
struct InstructionSet {
    name: &'static str,
    /// The tiles of 1, 2, ... rows, up to what the registers hold.
    tiles: &'static [Tile],
    /// The same of columns.
    across: &'static [Tile],
    sum: Sum,
}

static AVX512: InstructionSet = InstructionSet {
    name: "avx512",
    tiles: tiles!(avx512, false: 1 2 3 4 5 6 7 8 9 10 11 12),
    across: tiles!(avx512, true: 1 2 3 4 5 6 7 8 9 10 11 12),
    sum: avx512::sum,
};
static AVX2: InstructionSet = InstructionSet {
    name: "avx2",
    tiles: tiles!(avx2, false: 1 2 3 4 5 6),
    across: tiles!(avx2, true: 1 2 3 4 5 6),
    sum: avx2::sum,
};
static PORTABLE: InstructionSet = InstructionSet {
    name: "portable",
    tiles: tiles!(portable, false: 1 2),
    across: tiles!(portable, true: 1 2),
    sum: portable::sum,
};

impl InstructionSet {
    /// What this processor can run, fastest first. The standard library caches the detection.
    fn supported() -> impl Iterator<Item = &'static Self> {
        let avx512 = is_x86_feature_detected!("avx512f");
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let vector = [avx512.then_some(&AVX512), avx2.then_some(&AVX2)];
        vector.into_iter().flatten().chain([&PORTABLE])
    }

    fn fastest() -> &'static Self {
        Self::supported().next().unwrap_or(&PORTABLE)
    }
}

/// The name of the instructions that networks run with on this processor.
pub(crate) fn instructions() -> &'static str {
    InstructionSet::fastest().name
}

/// Does it with code for wide vectors where this processor has them, as far as `work` is inlined here:
/// for loops that the compiler vectorises. The results are the same to the bit.
#[inline(always)]
pub fn with_wide_vectors<R>(work: impl FnOnce() -> R) -> R {
    #[target_feature(enable = "avx2")]
    fn wide<R>(work: impl FnOnce() -> R) -> R {
        work()
    }
    if is_x86_feature_detected!("avx2") {
        // SAFETY: this processor has them.
        unsafe { wide(work) }
    } else {
        work()
    }
}

/// A linear layer, packed once per weight snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct PackedLinear {
    panels: Panels,
}

impl PackedLinear {
    /// Packs `weight` (`[outputs, inputs]`, row-major as PyTorch's `Linear`) and `bias`
    /// (`[outputs]`).
    ///
    /// # Panics
    /// If a shape is empty or does not match.
    pub(crate) fn new(weight: &[f32], bias: &[f32], inputs: usize, outputs: usize) -> Self {
        let mut packed = Self::default();
        packed.pack(weight, bias, inputs, outputs);
        packed
    }

    /// As [`new`](Self::new), in the memory that there is.
    ///
    /// # Panics
    /// If a shape is empty or does not match.
    pub(crate) fn pack(&mut self, weight: &[f32], bias: &[f32], inputs: usize, outputs: usize) {
        assert_eq!(weight.len(), outputs * inputs, "weight must be [outputs, inputs]");
        assert_eq!(bias.len(), outputs, "bias must be [outputs]");
        self.panels.pack_rows(weight, Some(bias), [inputs, outputs]);
    }

    /// Packs a matrix `[inputs, outputs]`, without a bias, in the memory that there is.
    ///
    /// # Panics
    /// If a shape is empty or does not match.
    pub(crate) fn pack_matrix(&mut self, matrix: &[f32], inputs: usize, outputs: usize) {
        assert_eq!(matrix.len(), outputs * inputs, "matrix must be [inputs, outputs]");
        self.panels.pack_columns(matrix, None, [inputs, outputs]);
    }

    /// Adds `leftᵀ right` to `sum`, where this was packed from `right`, a matrix `[rows, outputs]`:
    /// `left` is `[rows, columns]`, `sum` is `[columns, outputs]`.
    ///
    /// # Panics
    /// If a shape does not match.
    pub(crate) fn add_over_rows(&self, left: &[f32], columns: usize, sum: &mut [f32]) {
        self.add_over_rows_with(InstructionSet::fastest(), left, columns, sum);
    }

    /// `instructions` comes from [`InstructionSet::supported`].
    fn add_over_rows_with(
        &self,
        instructions: &InstructionSet,
        left: &[f32],
        columns: usize,
        sum: &mut [f32],
    ) {
        let Panels { inputs: rows, outputs, .. } = self.panels;
        assert_eq!(left.len(), rows * columns, "left must be [rows, columns]");
        assert_eq!(sum.len(), columns * outputs, "sum must be [columns, outputs]");
        let height = height(columns, instructions.across);
        let mut block = Vec::with_capacity(rows);
        for (index, sum) in sum.chunks_mut(height * outputs).enumerate() {
            // One behind the other: rows that are a power of two apart share a few places of a cache.
            block.clear();
            block.extend(left.chunks_exact(columns).map(|row| Lane::of(&row[index * height..]).0));
            let tile = instructions.across[sum.len() / outputs - 1];
            let activation = Activation::Identity;
            let mut target = Target { activation, output: sum, outputs };
            for (panel, column) in self.panels.iter() {
                // SAFETY: this processor has `instructions`.
                unsafe { tile(panel, block.as_flattened(), PANEL, &mut target, column) };
            }
        }
    }

    /// `activation(input weightᵀ + bias)`: `input` is `[rows, inputs]`, `output` is
    /// `[rows, outputs]`.
    ///
    /// # Panics
    /// If a shape does not match.
    pub(crate) fn forward(
        &self,
        input: &[f32],
        rows: usize,
        activation: Activation,
        output: &mut [f32],
    ) {
        self.forward_with(InstructionSet::fastest(), input, rows, activation, output);
    }

    /// `instructions` comes from [`InstructionSet::supported`].
    fn forward_with(
        &self,
        instructions: &InstructionSet,
        input: &[f32],
        rows: usize,
        activation: Activation,
        output: &mut [f32],
    ) {
        let Panels { inputs, outputs, .. } = self.panels;
        assert_eq!(input.len(), rows * inputs, "input must be [rows, inputs]");
        assert_eq!(output.len(), rows * outputs, "output must be [rows, outputs]");
        if rows == 0 {
            return;
        }
        let height = height(rows, instructions.tiles);
        let blocks = input.chunks(height * inputs).zip(output.chunks_mut(height * outputs));
        for (input, output) in blocks {
            let tile = instructions.tiles[input.len() / inputs - 1];
            let mut target = Target { activation, output, outputs };
            for (panel, column) in self.panels.iter() {
                // SAFETY: this processor has `instructions`.
                unsafe { tile(panel, input, inputs, &mut target, column) };
            }
        }
    }
}

/// Blocks of equal height: 16 rows are 8 + 8 rather than 12 + 4.
fn height(rows: usize, tiles: &[Tile]) -> usize {
    rows.div_ceil(rows.div_ceil(tiles.len()))
}

/// A linear layer for inputs that are sums of one-hot vectors, packed once per weight snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct PackedEmbedding {
    panels: Panels,
}

impl PackedEmbedding {
    /// Packs `weight` (`[features, outputs]`, row-major as PyTorch's `EmbeddingBag`) and `bias`
    /// (`[outputs]`).
    ///
    /// # Panics
    /// If a shape is empty or does not match.
    pub(crate) fn new(weight: &[f32], bias: &[f32]) -> Self {
        let mut packed = Self::default();
        packed.pack(weight, bias);
        packed
    }

    /// As [`new`](Self::new), in the memory that there is.
    ///
    /// # Panics
    /// If a shape is empty or does not match.
    pub(crate) fn pack(&mut self, weight: &[f32], bias: &[f32]) {
        let outputs = bias.len();
        assert_eq!(weight.len() % outputs.max(1), 0, "weight must be [features, outputs]");
        let features = weight.len() / outputs.max(1);
        self.panels.pack_columns(weight, Some(bias), [features, outputs]);
    }

    /// `activation(bias + sum of weight rows)`: row `r` adds the features
    /// `indices[offsets[r]..offsets[r + 1]]` in that order; `output` is
    /// `[offsets.len() - 1, outputs]`.
    ///
    /// # Panics
    /// If a shape does not match, `offsets` do not rise from 0 to the number of indices, or an
    /// index is not a feature.
    pub(crate) fn forward(
        &self,
        indices: &[u32],
        offsets: &[u32],
        activation: Activation,
        output: &mut [f32],
    ) {
        self.forward_with(InstructionSet::fastest(), indices, offsets, activation, output);
    }

    /// `instructions` comes from [`InstructionSet::supported`].
    fn forward_with(
        &self,
        instructions: &InstructionSet,
        indices: &[u32],
        offsets: &[u32],
        activation: Activation,
        output: &mut [f32],
    ) {
        let outputs = self.panels.outputs;
        assert_eq!(offsets.first(), Some(&0), "offsets must start at 0");
        assert_eq!(offsets[offsets.len() - 1] as usize, indices.len(), "offsets must end there");
        assert_eq!(output.len(), (offsets.len() - 1) * outputs, "output must be [rows, outputs]");
        for (range, output) in offsets.windows(2).zip(output.chunks_exact_mut(outputs)) {
            let features = &indices[range[0] as usize..range[1] as usize];
            let mut target = Target { activation, output, outputs };
            // SAFETY: this processor has `instructions`.
            unsafe { (instructions.sum)(&self.panels, features, &mut target) };
        }
    }
}

#[cfg(test)]
mod tests;

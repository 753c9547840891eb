//! Numbers taken from the front of a fuzzer's bytes.

/// The bytes that are left.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl Input<'_> {
    /// The next byte, `None` at the end.
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// A number of one byte, or one at the edge of what fits: what overflows, overflows there.
    pub(crate) fn number(&mut self) -> Option<u64> {
        Some(match self.byte()? {
            250 => 1 << 47,
            251 => (1 << 48) - 1,
            252 => 1 << 48,
            253 => u64::MAX / 2,
            254 => u64::MAX - 1,
            255 => u64::MAX,
            small => u64::from(small),
        })
    }

    /// Below `count`.
    pub(crate) fn below(&mut self, count: usize) -> Option<usize> {
        Some(usize::from(self.byte()?) % count.max(1))
    }
}

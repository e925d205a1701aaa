//! From a stream of bytes to lines.

/// Largest piece, in bytes, and all the memory that a [`LineSplitter`] needs.
const MAX_PIECE: usize = 64 * 1024;

/// A line without its end, or a part of a line longer than [`MAX_PIECE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    /// At most [`MAX_PIECE`] bytes, without the line feed and a carriage return before it. They need not be UTF-8.
    pub(crate) bytes: &'a [u8],
    /// Does this carry on the line that the piece before it began?
    pub(crate) continued: bool,
}

/// Cuts a stream of bytes into lines. It never holds more than [`MAX_PIECE`] bytes: a longer line
/// comes in pieces, the first with `continued: false`, the others with `true`. The default value is
/// a splitter at the start of a stream.
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    pending: Vec<u8>,
    continued: bool,
}

impl LineSplitter {
    /// Takes the next bytes of the stream and hands every piece that they complete to `sink`.
    pub(crate) fn push(&mut self, mut bytes: &[u8], sink: &mut impl FnMut(Piece<'_>)) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.extend(&bytes[..end], sink);
            self.end_line(sink);
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes, sink);
    }

    /// Ends the stream: hands a last line without a line feed to `sink`. The splitter is then at
    /// the start of a new stream.
    pub(crate) fn finish(&mut self, sink: &mut impl FnMut(Piece<'_>)) {
        if !self.pending.is_empty() {
            self.end_line(sink);
        }
        self.continued = false;
    }

    fn extend(&mut self, mut bytes: &[u8], sink: &mut impl FnMut(Piece<'_>)) {
        while bytes.len() > MAX_PIECE - self.pending.len() {
            let (head, rest) = bytes.split_at(MAX_PIECE - self.pending.len());
            self.pending.extend_from_slice(head);
            self.emit(self.pending.len(), sink);
            self.continued = true;
            bytes = rest;
        }
        self.pending.extend_from_slice(bytes);
    }

    fn end_line(&mut self, sink: &mut impl FnMut(Piece<'_>)) {
        let line = self.pending.strip_suffix(b"\r").unwrap_or(&self.pending);
        let length = line.len();
        // Nothing but a carriage return may be left of a line that was cut.
        if length > 0 || !self.continued {
            self.emit(length, sink);
        }
        self.pending.clear();
        self.continued = false;
    }

    fn emit(&mut self, length: usize, sink: &mut impl FnMut(Piece<'_>)) {
        sink(Piece { bytes: &self.pending[..length], continued: self.continued });
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<(Vec<u8>, bool)> {
        let mut pieces = Vec::new();
        let mut sink = |piece: Piece<'_>| pieces.push((piece.bytes.to_vec(), piece.continued));
        let mut splitter = LineSplitter::default();
        for chunk in chunks {
            splitter.push(chunk, &mut sink);
            assert!(splitter.pending.len() <= MAX_PIECE);
        }
        splitter.finish(&mut sink);
        pieces
    }

    #[test]
    fn lines_lose_their_ends() {
        let pieces = split(&[b"a\r\n\nb\r", b"\nc\rd"]);
        let lines: Vec<_> = pieces.iter().map(|(bytes, _)| bytes.as_slice()).collect();
        assert_eq!(lines, [b"a".as_slice(), b"", b"b", b"c\rd"]);
        assert!(split(&[b"", b""]).is_empty());
    }

    #[test]
    fn long_lines_come_in_pieces() {
        let line = vec![b'x'; 2 * MAX_PIECE + 5];
        let pieces = split(&[&line, b"\nnext\n"]);
        let shapes: Vec<_> = pieces.iter().map(|(it, more)| (it.len(), *more)).collect();
        assert_eq!(shapes, [(MAX_PIECE, false), (MAX_PIECE, true), (5, true), (4, false)]);
    }

    #[test]
    fn a_line_of_the_limit_is_one_piece() {
        let line = vec![b'x'; MAX_PIECE];
        for end in [b"\n".as_slice(), b"\r\n", b""] {
            assert_eq!(split(&[&line, end]), [(line.clone(), false)]);
        }
    }

    proptest! {
        #[test]
        fn the_cut_of_the_stream_does_not_matter(
            chunks in vec(vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..20), 0..10),
        ) {
            let whole = chunks.concat();
            let chunks: Vec<_> = chunks.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(split(&chunks), split(&[&whole]));
        }
    }
}

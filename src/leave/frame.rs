//! The outermost form of a bundle: frames in a chain of hashes, so that none can be changed, left out,
//! repeated or moved. `docs/bundle-format.md` has the form.

use std::io::{ErrorKind, Read, Write};

use sha2::{Digest, Sha256};

use super::problem::BundleProblem;
use crate::error::{Error, Result};

pub(super) type Sum = [u8; 32];

/// The format that is written and read.
pub(super) const VERSION: u8 = 1;
/// The text `tenantry-bundle` as MessagePack; the version follows.
const MAGIC: [u8; 16] = *b"\xaftenantry-bundle";
/// An array of two, a `bin` with a length of four bytes.
const OPENING: [u8; 2] = [0x92, 0xc6];
/// A `bin` of 32 bytes.
const CLOSING: [u8; 2] = [0xc4, 32];

/// What a frame is bound to: all before it, its length and its body.
fn sum_of(previous: &Sum, length: [u8; 4], body: &[u8]) -> Sum {
    Sha256::new().chain_update(previous).chain_update(length).chain_update(body).finalize().into()
}

fn first_sum() -> Sum {
    Sha256::new().chain_update(MAGIC).chain_update([VERSION]).finalize().into()
}

/// Writes frames.
pub(super) struct FrameWriter<'w> {
    out: &'w mut dyn Write,
    sum: Sum,
    frames: u64,
    bytes: u64,
}

impl<'w> FrameWriter<'w> {
    pub(super) fn begin(out: &'w mut dyn Write) -> Result<Self> {
        let mut writer = Self { out, sum: first_sum(), frames: 0, bytes: 0 };
        writer.put(&MAGIC)?;
        writer.put(&[VERSION])?;
        Ok(writer)
    }

    pub(super) fn write(&mut self, body: &[u8]) -> Result<()> {
        let length = u32::try_from(body.len()).map_err(|_| Error::LimitExceeded {
            limit: "record size",
            problem: "a record is larger than a frame of a bundle can be".to_owned(),
        })?;
        let length = length.to_be_bytes();
        self.sum = sum_of(&self.sum, length, body);
        self.frames += 1;
        let sum = self.sum;
        [&OPENING[..], &length, body, &CLOSING, &sum].into_iter().try_for_each(|part| self.put(part))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes).map_err(|error| Error::io("the bundle", error))
    }

    /// Over all so far.
    pub(super) fn sum(&self) -> Sum {
        self.sum
    }

    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// Writes what is buffered; how many bytes there were.
    pub(super) fn finish(self) -> Result<u64> {
        self.out.flush().map_err(|error| Error::io("the bundle", error))?;
        Ok(self.bytes)
    }
}

/// How much is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameLimits {
    pub(super) frame_bytes: u64,
    pub(super) bytes: u64,
}

/// Reads frames, and never makes room for more than is there.
pub(super) struct FrameReader<'r> {
    input: &'r mut dyn Read,
    before: Sum,
    sum: Sum,
    frames: u64,
    bytes: u64,
    limits: FrameLimits,
}

impl<'r> FrameReader<'r> {
    pub(super) fn begin(input: &'r mut dyn Read, limits: FrameLimits) -> Result<Self> {
        let mut reader = Self { input, before: first_sum(), sum: first_sum(), frames: 0, bytes: 0, limits };
        let mut magic = [0; MAGIC.len()];
        reader.fill(&mut magic)?;
        if magic != MAGIC {
            return Err(BundleProblem::NotABundle.into());
        }
        let mut version = [0];
        reader.fill(&mut version)?;
        match version {
            [VERSION] => Ok(reader),
            [found] => Err(BundleProblem::Version { found }.into()),
        }
    }

    /// The body of the next frame, in place of what the buffer held.
    pub(super) fn read(&mut self, body: &mut Vec<u8>) -> Result<()> {
        self.frames += 1;
        let mut opening = [0; 2];
        self.fill(&mut opening)?;
        let mut length = [0; 4];
        self.fill(&mut length)?;
        if opening != OPENING {
            return Err(self.damaged());
        }
        let wanted = u64::from(u32::from_be_bytes(length));
        if wanted > self.limits.frame_bytes {
            let max = self.limits.frame_bytes;
            return Err(BundleProblem::TooLarge { limit: "bytes of a frame", max }.into());
        }
        self.count(wanted)?;
        body.clear();
        // It grows as bytes come, whatever the length says.
        let read = (&mut *self.input).take(wanted).read_to_end(body);
        if read.map_err(failed)? as u64 != wanted {
            return Err(BundleProblem::Truncated.into());
        }
        let (mut closing, mut sum) = ([0; 2], [0; 32]);
        self.fill(&mut closing)?;
        self.fill(&mut sum)?;
        self.before = self.sum;
        self.sum = sum_of(&self.sum, length, body);
        if closing != CLOSING || sum != self.sum {
            return Err(self.damaged());
        }
        Ok(())
    }

    /// Nothing follows.
    pub(super) fn end(&mut self) -> Result<()> {
        let read = (&mut *self.input).take(1).read_to_end(&mut Vec::new()).map_err(failed)?;
        if read == 0 { Ok(()) } else { Err(BundleProblem::Trailing.into()) }
    }

    /// Over all so far.
    pub(super) fn sum(&self) -> Sum {
        self.sum
    }

    /// Over all but the last one.
    pub(super) fn sum_before(&self) -> Sum {
        self.before
    }

    /// How many were read, or begun.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    fn damaged(&self) -> Error {
        BundleProblem::Checksum { frame: self.frames }.into()
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.count(bytes.len() as u64)?;
        self.input.read_exact(bytes).map_err(failed)
    }

    fn count(&mut self, bytes: u64) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        let max = self.limits.bytes;
        if self.bytes > max {
            return Err(BundleProblem::TooLarge { limit: "bytes of the bundle", max }.into());
        }
        Ok(())
    }
}

fn failed(error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => BundleProblem::Truncated.into(),
        _ => Error::io("the bundle", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: FrameLimits = FrameLimits { frame_bytes: 1_000, bytes: 10_000 };

    fn written(bodies: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = FrameWriter::begin(&mut bytes).unwrap();
        bodies.iter().for_each(|body| writer.write(body).unwrap());
        let counted = writer.finish().unwrap();
        assert_eq!(counted, bytes.len() as u64);
        bytes
    }

    /// All frames, if the bytes are so many and nothing else.
    fn read(mut bytes: &[u8], frames: usize, limits: FrameLimits) -> Result<Vec<Vec<u8>>> {
        let mut reader = FrameReader::begin(&mut bytes, limits)?;
        let bodies = (0..frames)
            .map(|_| {
                let mut body = vec![1, 2, 3];
                reader.read(&mut body).map(|()| body)
            })
            .collect::<Result<_>>()?;
        reader.end()?;
        Ok(bodies)
    }

    fn problem(outcome: Result<Vec<Vec<u8>>>) -> BundleProblem {
        match outcome.unwrap_err() {
            Error::Bundle { problem } => problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_value_is_messagepack_as_any_library_reads_it() {
        let bytes = written(&[b"one", b""]);
        let mut rest = &bytes[..];
        let mut next = || rmpv(&mut rest);
        assert_eq!(next(), "tenantry-bundle");
        assert_eq!(next(), "1");
        assert!(next().starts_with("[6f6e65, "));
        assert!(next().starts_with("[, "));
        assert!(rest.is_empty());
    }

    /// The next value as text, by `rmp` alone.
    fn rmpv(rest: &mut &[u8]) -> String {
        match rest[0] {
            0xa0..=0xbf => {
                let length = rmp::decode::read_str_len(rest).unwrap() as usize;
                let (text, after) = rest.split_at(length);
                *rest = after;
                String::from_utf8(text.to_vec()).unwrap()
            }
            0x92 => {
                assert_eq!(rmp::decode::read_array_len(rest).unwrap(), 2);
                let mut bin = || {
                    let length = rmp::decode::read_bin_len(rest).unwrap() as usize;
                    let (bytes, after) = rest.split_at(length);
                    *rest = after;
                    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
                };
                format!("[{}, {}]", bin(), bin())
            }
            _ => rmp::decode::read_int::<u8, _>(rest).unwrap().to_string(),
        }
    }

    #[test]
    fn what_is_not_whole_is_refused_at_every_byte() {
        let bytes = written(&[b"first", &[7; 300], b"last"]);
        assert_eq!(read(&bytes, 3, LIMITS).unwrap(), [b"first".to_vec(), vec![7; 300], b"last".to_vec()]);
        for length in 0..bytes.len() {
            assert_eq!(problem(read(&bytes[..length], 3, LIMITS)), BundleProblem::Truncated, "{length}");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert_eq!(problem(read(&longer, 3, LIMITS)), BundleProblem::Trailing);
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[position] ^= 1 << bit;
                assert!(read(&flipped, 3, LIMITS).is_err(), "bit {bit} of byte {position}");
            }
        }
    }

    #[test]
    fn frames_can_not_change_places_be_left_out_or_come_twice() {
        let bytes = written(&[b"aaaa", b"bbbb", b"cccc"]);
        let size = (bytes.len() - 17) / 3;
        let frame = |number: usize| &bytes[17 + number * size..17 + (number + 1) * size];
        for order in [&[1, 0, 2][..], &[0, 2, 1], &[0, 0, 1], &[0, 1, 1], &[1, 2], &[0, 2]] {
            let others: Vec<u8> =
                bytes[..17].iter().chain(order.iter().flat_map(|number| frame(*number))).copied().collect();
            assert!(
                matches!(problem(read(&others, order.len(), LIMITS)), BundleProblem::Checksum { .. }),
                "{order:?}"
            );
        }
    }

    #[test]
    fn what_is_larger_than_allowed_is_refused_before_it_is_read() {
        let bytes = written(&[&[0; 1_001]]);
        let problem_of = |limits| problem(read(&bytes, 1, limits));
        assert!(matches!(
            problem_of(LIMITS),
            BundleProblem::TooLarge { limit: "bytes of a frame", max: 1_000 }
        ));
        let limits = FrameLimits { frame_bytes: 5_000, bytes: 1_000 };
        assert!(matches!(
            problem_of(limits),
            BundleProblem::TooLarge { limit: "bytes of the bundle", max: 1_000 }
        ));
        // A length of four thousand million makes no room for them.
        let mut lying = written(&[b"x"]);
        lying[19..23].copy_from_slice(&[0xff; 4]);
        let limits = FrameLimits { frame_bytes: u64::MAX, bytes: u64::MAX };
        assert_eq!(problem(read(&lying, 1, limits)), BundleProblem::Truncated);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let begun = [&MAGIC[..], &[VERSION], &bytes].concat();
            prop_assert!(read(&begun, 1, LIMITS).is_err());
            prop_assert!(read(&bytes, 1, LIMITS).is_err());
        }
    }
}

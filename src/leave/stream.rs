//! The frames of a bundle, one after the other, each as what it has to be.

use std::io::Read;

use super::form::{self, Form, ITEMS_BYTES, Reading};
use super::frame::{FrameLimits, FrameReader, Sum};
use super::problem::BundleProblem;
use crate::audit::payload::Malformed;
use crate::error::{Error, Result};

pub(super) struct Stream<'r> {
    frames: FrameReader<'r>,
    body: Vec<u8>,
    /// Whether the body is one that nobody has taken yet.
    waiting: bool,
}

/// Items of one kind that fill frames up, in the only way in which they are written.
pub(super) struct Section {
    kind: &'static str,
    /// Whether the last frame was full, so that another may follow.
    full: bool,
}

impl Section {
    pub(super) fn new(kind: &'static str) -> Self {
        Self { kind, full: true }
    }
}

impl<'r> Stream<'r> {
    pub(super) fn begin(input: &'r mut dyn Read, limits: FrameLimits) -> Result<Self> {
        let frames = FrameReader::begin(input, limits)?;
        Ok(Self { frames, body: Vec::new(), waiting: false })
    }

    fn fetch(&mut self) -> Result<()> {
        if !self.waiting {
            self.frames.read(&mut self.body)?;
            self.waiting = true;
        }
        Ok(())
    }

    /// A frame that is one thing.
    pub(super) fn one<T: Form>(&mut self) -> Result<T> {
        self.fetch()?;
        self.waiting = false;
        T::read_all(Reading::new(&self.body)).map_err(|Malformed| self.malformed(UNEXPECTED))
    }

    /// Whether the next frame is of a kind.
    pub(super) fn comes(&mut self, kind: &str) -> Result<bool> {
        self.fetch()?;
        match form::kind_of(&self.body) {
            Ok(next) => Ok(next == kind),
            Err(Malformed) => Err(self.malformed(UNEXPECTED)),
        }
    }

    /// What the items of the next frame are of; it stays the next one.
    pub(super) fn items_of(&mut self, kind: &str) -> Result<String> {
        self.fetch()?;
        match form::read_items(&self.body, kind, true) {
            Ok((Some(of), ..)) => Ok(of.to_owned()),
            _ => Err(self.malformed(UNEXPECTED)),
        }
    }

    /// A frame of items: reads each, compares it with what it would be written as, and hands it on
    /// with the frame's number. How many there were.
    pub(super) fn items<T>(
        &mut self,
        section: &mut Section,
        of: Option<&str>,
        read: impl Fn(&mut Reading<'_>) -> Result<T, Malformed>,
        write: impl Fn(&T, &mut Vec<u8>),
        mut visit: impl FnMut(T, u64) -> Result<()>,
    ) -> Result<u64> {
        self.fetch()?;
        self.waiting = false;
        let frame = self.frames.frames();
        let refuse = |what| Err(BundleProblem::Malformed { frame, what }.into());
        let Ok((found, count, mut reading)) = form::read_items(&self.body, section.kind, of.is_some()) else {
            return refuse(UNEXPECTED);
        };
        if found != of {
            return refuse(UNEXPECTED);
        }
        let size = reading.rest().len();
        let mut again = Vec::new();
        for number in 1..=count {
            let before = reading.rest();
            let Ok(item) = read(&mut reading) else { return refuse("an item can not be read") };
            let bytes = &before[..before.len() - reading.rest().len()];
            again.clear();
            write(&item, &mut again);
            if again != bytes {
                return refuse("an item is not written as a store writes it");
            }
            // The item that fills a frame is its last.
            if number < count && size - reading.rest().len() >= ITEMS_BYTES {
                return refuse(FILLED);
            }
            visit(item, frame)?;
        }
        if !reading.rest().is_empty() || count == 0 || !section.full {
            return refuse(FILLED);
        }
        section.full = size >= ITEMS_BYTES;
        Ok(count.into())
    }

    /// Nothing follows.
    pub(super) fn end(&mut self) -> Result<()> {
        self.frames.end()
    }

    pub(super) fn sum(&self) -> Sum {
        self.frames.sum()
    }

    /// Over all but the last frame.
    pub(super) fn sum_before(&self) -> Sum {
        self.frames.sum_before()
    }

    /// How many frames were read.
    pub(super) fn frames(&self) -> u64 {
        self.frames.frames()
    }

    /// What is wrong with the last frame.
    pub(super) fn malformed(&self, what: &'static str) -> Error {
        BundleProblem::Malformed { frame: self.frames.frames(), what }.into()
    }
}

const FILLED: &str = "its items are not as many as a frame holds";
const UNEXPECTED: &str = "it is not what comes in this place";

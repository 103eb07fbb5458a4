//! How long operations took.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longer ones count as this long.
const LONGEST: Duration = Duration::from_secs(60);

/// Latencies with three digits, as pairs of nanoseconds and count where they are sent or kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    ///
    /// # Errors
    ///
    /// Never: the bounds are fixed ones that a histogram accepts.
    pub fn new() -> Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, LONGEST.as_nanos() as u64, 3)?))
    }

    /// One more.
    pub fn add(&mut self, latency: Duration) {
        self.0.saturating_record(latency.as_nanos() as u64);
    }

    /// All of another.
    ///
    /// # Errors
    ///
    /// Never: all have the same bounds.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that this share of the operations did not exceed, in microseconds.
    #[must_use]
    pub fn micros(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }
}

impl TryFrom<Vec<(u64, u64)>> for Latencies {
    type Error = anyhow::Error;
    fn try_from(pairs: Vec<(u64, u64)>) -> Result<Self> {
        let mut latencies = Self::new()?;
        for (nanoseconds, count) in pairs {
            latencies.0.record_n(nanoseconds, count)?;
        }
        Ok(latencies)
    }
}

impl From<Latencies> for Vec<(u64, u64)> {
    fn from(latencies: Latencies) -> Self {
        latencies
            .0
            .iter_recorded()
            .map(|value| (value.value_iterated_to(), value.count_since_last_iteration()))
            .collect()
    }
}

//! Vectors in memory, a byte for each dimension, so that a search does not read all of a holder's from the database. They
//! choose candidates; the database's own decide.

use std::sync::{Arc, Mutex, PoisonError};

use super::Nearest;

/// Bytes of vectors that are kept, of all holders together: 170,000 vectors of a sentence transformer.
const MAX_BYTES: usize = 64 << 20;
/// Holders whose vectors are kept.
const MAX_HOLDERS: usize = 1_024;
/// The largest byte.
const LARGEST: f32 = 127.0;

/// The vectors of the holders that were searched last.
#[derive(Debug, Default)]
pub(super) struct PackedVectors(Mutex<Vec<CachedVectors>>);

#[derive(Debug)]
struct CachedVectors {
    holder: i64,
    embedder: String,
    vectors: Arc<HolderVectors>,
}

impl PackedVectors {
    /// Those of a holder, as they were when they were read.
    pub(super) fn get(&self, holder: i64, embedder: &str) -> Option<Arc<HolderVectors>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|kept| kept.holder == holder && kept.embedder == embedder)?;
        // the one that was used last stands last
        all.get_mut(at..)?.rotate_left(1);
        all.last().map(|kept| Arc::clone(&kept.vectors))
    }

    /// Keeps them, and gives up those that were not used for the longest time.
    pub(super) fn keep(&self, holder: i64, embedder: &str, vectors: Arc<HolderVectors>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|kept| kept.holder != holder || kept.embedder != embedder);
        all.push(CachedVectors { holder, embedder: embedder.to_owned(), vectors });
        let mut bytes: usize = all.iter().map(|kept| kept.vectors.values.len()).sum();
        let mut gone = all.len().saturating_sub(MAX_HOLDERS);
        for (number, kept) in (1..).zip(all.iter()) {
            if bytes <= MAX_BYTES {
                break;
            }
            bytes -= kept.vectors.values.len();
            gone = gone.max(number);
        }
        all.drain(..gone);
    }
}

/// Which vectors a holder has: how many, and the sum of their facts' ordinals. An ordinal is given once, so two different
/// sets are as good as never taken for one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct VectorSetDigest {
    pub(super) count: i64,
    pub(super) sum: i64,
}

/// The vectors of one holder, in the order of their facts.
#[derive(Clone, Debug, Default)]
pub(super) struct HolderVectors {
    dimensions: usize,
    facts: Vec<i64>,
    /// What one of a vector's bytes is worth.
    scales: Vec<f32>,
    values: Vec<i8>,
    held: VectorSetDigest,
}

impl HolderVectors {
    /// Whether so many have room.
    pub(super) fn has_room_for(held: VectorSetDigest, dimensions: usize) -> bool {
        let bytes = usize::try_from(held.count).ok().and_then(|count| count.checked_mul(dimensions));
        dimensions > 0 && bytes.is_some_and(|bytes| bytes <= MAX_BYTES)
    }

    pub(super) fn new(dimensions: usize) -> Self {
        Self { dimensions, ..Self::default() }
    }

    pub(super) fn dimensions(&self) -> usize {
        self.dimensions
    }

    pub(super) fn held(&self) -> VectorSetDigest {
        self.held
    }

    /// The last fact; 0: there is none.
    pub(super) fn last(&self) -> i64 {
        self.facts.last().copied().unwrap_or_default()
    }

    /// Adds a vector. One of other dimensions is near to nothing.
    pub(super) fn push(&mut self, fact: i64, values: &[f32]) {
        self.held.count += 1;
        self.held.sum = self.held.sum.wrapping_add(fact);
        if values.len() == self.dimensions {
            self.facts.push(fact);
            self.scales.push(pack(values, &mut self.values));
        }
    }

    /// The nearest to a vector, and about how near they are.
    pub(super) fn nearest(&self, asked: &[f32], limit: u32) -> Nearest {
        let mut nearest = Nearest::new(limit);
        if asked.len() != self.dimensions || asked.is_empty() {
            return nearest;
        }
        let mut packed = Vec::with_capacity(asked.len());
        let scale = pack(asked, &mut packed);
        let rows = self.values.chunks_exact(self.dimensions).zip(self.facts.iter().zip(&self.scales));
        for (row, (fact, of_row)) in rows {
            let product: i32 = row.iter().zip(&packed).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
            nearest.add(*fact, product as f32 * scale * of_row);
        }
        nearest
    }
}

/// Appends a vector's bytes, and returns what each is worth. An invalid vector counts as one of zeros.
fn pack(values: &[f32], packed: &mut Vec<i8>) -> f32 {
    let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let scale = if largest.is_finite() { largest / LARGEST } else { 0.0 };
    // a quotient that is not a number becomes 0
    packed.extend(values.iter().map(|value| if scale > 0.0 { (value / scale).round() as i8 } else { 0 }));
    scale
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMENSIONS: usize = 48;

    /// Vectors of length 1, the same in every run.
    fn invented(count: u64) -> Vec<Vec<f32>> {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        let vector = |_| {
            let values: Vec<f32> = (0..DIMENSIONS).map(|_| next()).collect();
            let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
            values.iter().map(|value| value / length).collect()
        };
        (0..count).map(vector).collect()
    }

    fn packed(vectors: &[Vec<f32>]) -> HolderVectors {
        let mut packed = HolderVectors::new(DIMENSIONS);
        vectors.iter().zip(1..).for_each(|(vector, fact)| packed.push(fact, vector));
        packed
    }

    #[test]
    fn the_nearest_are_among_the_candidates() {
        let vectors = invented(3_000);
        let (asked, known) = vectors.split_first_chunk::<20>().unwrap();
        let packed = packed(known);
        assert_eq!(packed.held(), VectorSetDigest { count: 2_980, sum: (1..=2_980).sum() });
        for asked in asked {
            let mut exact = Nearest::new(50);
            for (vector, fact) in known.iter().zip(1..) {
                exact.add(fact, super::super::cosine(asked, vector.iter().copied()));
            }
            let candidates = packed.nearest(asked, 200).found;
            for (fact, cosine) in exact.found {
                let found = candidates.iter().find(|(other, _)| *other == fact);
                let (_, about) = found.unwrap_or_else(|| panic!("{fact} is missing"));
                assert!((about - cosine).abs() < 0.02, "{about} for {cosine}");
            }
        }
    }

    #[test]
    fn what_is_no_vector_is_near_to_nothing() {
        let mut packed = HolderVectors::new(2);
        for (values, fact) in
            [vec![0.0, 0.0], vec![f32::NAN, 1.0], vec![f32::INFINITY, 1.0], vec![1.0], vec![0.6, 0.8]]
                .iter()
                .zip(1..)
        {
            packed.push(fact, values);
        }
        assert_eq!(packed.held(), VectorSetDigest { count: 5, sum: 15 });
        let found = packed.nearest(&[0.6, 0.8], 10).found;
        assert_eq!((found[0].0, found.len()), (5, 4), "{found:?}");
        assert!(found.iter().all(|(_, about)| about.is_finite()), "{found:?}");
        assert!(packed.nearest(&[1.0], 10).found.is_empty() && packed.nearest(&[], 10).found.is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_last_used_stays() {
        let kept = PackedVectors::default();
        let large = || Arc::new(HolderVectors { values: vec![0; MAX_BYTES / 3], ..HolderVectors::new(1) });
        for holder in 0..3 {
            kept.keep(holder, "a", large());
        }
        assert!(kept.get(0, "a").is_some() && kept.get(0, "b").is_none());
        kept.keep(3, "a", large());
        assert_eq!([0, 1, 2, 3].map(|holder| kept.get(holder, "a").is_some()), [true, false, true, true]);
        for holder in 0..3 * MAX_HOLDERS as i64 {
            kept.keep(holder, "a", Arc::default());
        }
        assert_eq!(kept.0.lock().unwrap().len(), MAX_HOLDERS);
        assert!(!HolderVectors::has_room_for(VectorSetDigest { count: 1 << 40, sum: 0 }, 1 << 40));
    }
}

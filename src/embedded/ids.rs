//! Ids as Mattermost makes them.

use std::sync::{Arc, Mutex, PoisonError};

/// The 32 characters of an id, in the order of their values.
const ALPHABET: &[u8; 32] = b"ybndrfg8ejkmcpqxot1uwisza345h769";
/// How long an id is, in characters.
pub(crate) const ID_LENGTH: usize = 26;

/// Makes ids: 26 characters that say a random UUID in base 32. Clones share one generator.
#[derive(Debug, Clone, Default)]
pub struct Ids(Option<Arc<Mutex<fastrand::Rng>>>);

impl Ids {
    /// Ids that nobody can guess.
    pub fn random() -> Self {
        Self(None)
    }

    /// The same ids in the same order for the same `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)))))
    }

    /// A new id.
    pub fn next_id(&self) -> String {
        let mut uuid = self.bytes();
        // Version 4, variant 1: what a random UUID says of itself.
        uuid[6] = (uuid[6] & 0x0f) | 0x40;
        uuid[8] = (uuid[8] & 0x3f) | 0x80;
        encoded(u128::from_be_bytes(uuid))
    }

    fn bytes(&self) -> [u8; 16] {
        if let Some(seeded) = &self.0 {
            let mut generator = seeded.lock().unwrap_or_else(PoisonError::into_inner);
            return generator.u128(..).to_be_bytes();
        }
        let mut bytes = [0; 16];
        if getrandom::fill(&mut bytes).is_err() {
            // A kernel without randomness: still no two alike.
            bytes = fastrand::u128(..).to_be_bytes();
        }
        bytes
    }
}

/// 128 bits in groups of 5, the last one filled up with zeros.
fn encoded(bits: u128) -> String {
    let group = |at: usize| {
        let shift = 123 - 5 * at as i32;
        let value = if shift >= 0 { bits >> shift } else { bits << -shift };
        char::from(ALPHABET[(value & 31) as usize])
    };
    (0..ID_LENGTH).map(group).collect()
}

/// The first 26 characters of these bytes in base 32; 17 bytes are enough.
pub(crate) fn id_of_bytes(bytes: &[u8]) -> String {
    let bit = |at: usize| {
        let byte = bytes.get(at / 8).copied().unwrap_or_default();
        usize::from(byte >> (7 - at % 8) & 1)
    };
    let group = |at: usize| (0..5).fold(0, |value, shift| value << 1 | bit(5 * at + shift));
    (0..ID_LENGTH).map(|at| char::from(ALPHABET[group(at)])).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_id_is_the_base_32_of_its_bits() {
        assert_eq!(encoded(0), "y".repeat(26));
        assert_eq!(encoded(u128::MAX), format!("{}h", "9".repeat(25)));
        // The highest bits come first.
        assert_eq!(encoded(1 << 123), format!("b{}", "y".repeat(25)));
        assert_eq!(encoded(1), format!("{}r", "y".repeat(25)));
    }

    #[test]
    fn bytes_are_said_like_a_uuid() {
        let bits = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128;
        assert_eq!(id_of_bytes(&bits.to_be_bytes()), encoded(bits));
        // 26 characters hold two bits more than a UUID has.
        let longer = [bits.to_be_bytes().as_slice(), &[0xc0]].concat();
        assert_eq!(id_of_bytes(&longer)[..25], encoded(bits)[..25]);
        assert_ne!(id_of_bytes(&longer), encoded(bits));
    }

    #[test]
    fn ids_differ_and_a_seed_repeats_them() {
        let ids: BTreeSet<_> = (0..1000).map(|_| Ids::random().next_id()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 26 && id.bytes().all(|it| ALPHABET.contains(&it))));
        let of = |seed| {
            let ids = Ids::seeded(seed);
            [ids.next_id(), ids.next_id(), ids.next_id()]
        };
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
        assert_eq!(BTreeSet::from(of(7)).len(), 3);
    }
}

/// Mattermost's base 32.
const ALPHABET: &[u8; 32] = b"ybndrfg8ejkmcpqxot1uwisza345h769";

/// A fresh id as Mattermost makes them: 26 letters and digits, 128 random bits.
pub(super) fn request_id() -> String {
    let mut bytes = [0; 16];
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::warn!(%error, "the system has no random bytes for a request's id");
    }
    let bits = u128::from_be_bytes(bytes);
    // 26 digits have two bits more than there are: the last digit's lower two are zero.
    let digit = |at: u32| if at < 25 { (bits >> (123 - 5 * at)) & 31 } else { (bits << 2) & 31 };
    (0..26).map(|at| char::from(ALPHABET[digit(at) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_26_characters_and_is_never_the_same() {
        let (one, other) = (request_id(), request_id());
        assert_ne!(one, other);
        assert_eq!(one.len(), 26);
        assert!(one.bytes().all(|byte| ALPHABET.contains(&byte)), "{one}");
    }
}

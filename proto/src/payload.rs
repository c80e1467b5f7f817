//! Integer vectors to bytes and back: 64-bit little-endian two's complement, one part after the other.

use crate::parse::ParseError;

/// The bytes of the parts.
pub fn encode<'a>(parts: impl IntoIterator<Item = &'a [i64]>) -> Vec<u8> {
    parts.into_iter().flatten().flat_map(|v| v.to_le_bytes()).collect()
}

/// The integers of a payload of so many lanes.
///
/// # Errors
/// The length does not fit.
pub fn decode(bytes: &[u8], lanes: u64) -> Result<Vec<i64>, ParseError> {
    let fits = u64::try_from(bytes.len()).ok() == lanes.checked_mul(8);
    if !fits {
        return Err(ParseError::Field { field: "payload", wanted: "8 bytes for each lane of the manifest" });
    }
    Ok(bytes
        .chunks_exact(8)
        .map(|c| {
            let mut word = [0; 8];
            word.copy_from_slice(c);
            i64::from_le_bytes(word)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(v in prop::collection::vec(any::<i64>(), 0..64)) {
            let bytes = encode([v.as_slice()]);
            prop_assert_eq!(decode(&bytes, v.len() as u64).unwrap(), v.clone());
            prop_assert!(decode(&bytes, v.len() as u64 + 1).is_err());
        }
        #[test]
        fn any_bytes_are_an_answer_not_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), lanes: u64) {
            let _ = decode(&bytes, lanes);
            let _ = crate::manifest::Manifest::parse(&bytes);
        }
    }
}

//! Numbers in the journal's JSON: a text of their bytes, little end first, in base64. A parameter that changed in its last digit on the way through
//! text would be another parameter, and a site answers a round for one set of parameters only; and a model of a million has to fit.
//!
//! Older journals have them one by one: as whole numbers, which are their bits, or of a program's memory as decimal ones. They are read still.

use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serializer};

use crate::model::{decode, encode};

pub(super) fn serialize<S: Serializer>(values: &[f64], s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&encode(values))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<f64>, D::Error> {
    struct Numbers;

    /// One number of an older journal.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum One {
        Bits(u64),
        Decimal(f64),
    }

    impl<'de> Visitor<'de> for Numbers {
        type Value = Vec<f64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("numbers in base64, or one by one")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<f64>, E> {
            decode(text).ok_or_else(|| E::custom("these are no numbers in base64"))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<f64>, A::Error> {
            let mut out = Vec::new();
            while let Some(one) = seq.next_element::<One>()? {
                out.push(match one {
                    One::Bits(bits) => f64::from_bits(bits),
                    One::Decimal(value) if value.is_finite() => value,
                    One::Decimal(_) => return Err(A::Error::custom("a number is not finite")),
                });
            }
            Ok(out)
        }
    }

    d.deserialize_any(Numbers)
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    struct Kept(#[serde(with = "super")] Vec<f64>);

    #[test]
    fn every_bit_comes_back_and_old_journals_are_read() {
        let kept = Kept(vec![0.1, -0.0, f64::MAX, 5e-324, 1.0 / 3.0]);
        let text = serde_json::to_string(&kept).unwrap();
        let read: Kept = serde_json::from_str(&text).unwrap();
        assert!(read.0.iter().zip(&kept.0).all(|(a, b)| a.to_bits() == b.to_bits()) && text.len() < 60, "{text}");
        let bits: Vec<u64> = kept.0.iter().map(|v| v.to_bits()).collect();
        let old: Kept = serde_json::from_str(&serde_json::to_string(&bits).unwrap()).unwrap();
        assert!(old.0.iter().zip(&kept.0).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert_eq!(serde_json::from_str::<Kept>("[0.25, -1.5]").unwrap().0, [0.25, -1.5]);
        assert_eq!(serde_json::from_str::<Kept>("[]").unwrap().0, [0.0; 0]);
        assert!(serde_json::from_str::<Kept>("\"AAA=\"").is_err() && serde_json::from_str::<Kept>("[1e999]").is_err());
    }
}

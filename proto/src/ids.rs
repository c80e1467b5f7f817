//! Newtypes for what is named.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::parse::ParseError;

/// An id: 1 to 64 of `a-z 0-9 -`, beginning with a letter or digit. It is part of paths, keys and certificates.
fn check(kind: &'static str, text: &str) -> Result<(), ParseError> {
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-');
    if fits { Ok(()) } else { Err(ParseError::Id { kind, text: text.chars().take(80).collect() }) }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Parses an id.
            ///
            /// # Errors
            /// The text is not 1 to 64 of `a-z 0-9 -`.
            pub fn parse(text: &str) -> Result<$name, ParseError> {
                check($kind, text)?;
                Ok($name(text.to_owned()))
            }
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<$name, D::Error> {
                $name::parse(&String::deserialize(d)?).map_err(de::Error::custom)
            }
        }
    };
}

id!(
    /// A hospital.
    SiteId,
    "site"
);
id!(
    /// A study.
    StudyId,
    "study"
);

impl StudyId {
    /// The id that stands for a plan whose own id can't be read.
    pub fn unreadable() -> StudyId {
        StudyId("unreadable".to_owned())
    }
}

/// A SHA-256 hash; hexadecimal in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The hash of bytes.
    pub fn of(bytes: &[u8]) -> Hash {
        Hash::of_parts(&[bytes])
    }

    /// The hash of parts one after the other, without separators.
    pub fn of_parts(parts: &[&[u8]]) -> Hash {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        for part in parts {
            context.update(part);
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.finish().as_ref());
        Hash(out)
    }

    /// From 32 bytes.
    ///
    /// # Errors
    /// They are not 32.
    pub fn from_slice(bytes: &[u8]) -> Result<Hash, ParseError> {
        bytes.try_into().map(Hash).map_err(|_| ParseError::Field { field: "hash", wanted: "32 bytes" })
    }

    /// From 64 hexadecimal digits.
    ///
    /// # Errors
    /// They are not.
    pub fn from_hex(text: &str) -> Result<Hash, ParseError> {
        let wrong = || ParseError::Field { field: "hash", wanted: "64 hexadecimal digits" };
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut out = [0u8; 32];
        for (slot, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *slot = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Hash(out))
    }

    /// The first 12 hexadecimal digits, for people.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Hash, D::Error> {
        Hash::from_hex(&String::deserialize(d)?).map_err(de::Error::custom)
    }
}

/// One round of one analysis of one study. Analyses and rounds count from 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RoundId {
    /// The study.
    pub study: StudyId,
    /// The place of the analysis in the plan.
    pub analysis: u32,
    /// The round.
    pub round: u32,
}

impl fmt::Display for RoundId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.study, self.analysis, self.round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_narrow() {
        assert!(SiteId::parse("de-01").is_ok());
        for bad in ["", "../x", "A", "a/b", "-a", "a b", &"a".repeat(65)] {
            assert!(SiteId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hash_text_round_trips() {
        let h = Hash::of(b"abc");
        assert_eq!(h.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Hash::from_hex(&h.to_string()).unwrap(), h);
        assert!(Hash::from_hex("zz").is_err());
    }
}

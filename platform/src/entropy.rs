//! Random bytes.

/// A source of random bytes.
pub trait Entropy: Send + Sync {
    /// Fills the buffer.
    ///
    /// # Errors
    /// The source has nothing to give.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError>;

    /// Thirty-two random bytes.
    ///
    /// # Errors
    /// As [`Entropy::fill`].
    fn secret(&self) -> Result<[u8; 32], EntropyError> {
        let mut out = [0; 32];
        self.fill(&mut out)?;
        Ok(out)
    }
}

/// The source of random bytes failed.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes: {0}")]
pub struct EntropyError(pub String);

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
        getrandom::fill(buffer).map_err(|e| EntropyError(e.to_string()))
    }
}

//! The noises of a series that were drawn already, as a site keeps them.
//!
//! They are as confidential as the rows: with what left, they give the windows' sums. Each is drawn once. What a window has drawn is
//! entered with its release; where a window was passed over, its noise is drawn when the next one is told.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use super::Continual;

/// The noises of a series by windows, all lanes of all parts one after the other.
#[derive(Default)]
pub struct History {
    kept: BTreeMap<u32, Zeroizing<Vec<i64>>>,
    drawn: BTreeSet<u32>,
}

impl History {
    /// Takes up what was kept of a window, as [`History::drawn`] gave it.
    pub fn take(&mut self, window: u32, bytes: &[u8]) {
        let noise = bytes.chunks_exact(8).filter_map(|c| <[u8; 8]>::try_from(c).ok()).map(i64::from_le_bytes);
        self.kept.insert(window, Zeroizing::new(noise.collect()));
    }

    /// What is to be kept of windows whose noise was drawn since, and must be durable before anything leaves.
    pub fn drawn(&self) -> impl Iterator<Item = (u32, Zeroizing<Vec<u8>>)> + '_ {
        let of = |window: &u32| Some((*window, self.kept.get(window)?));
        self.drawn
            .iter()
            .filter_map(of)
            .map(|(window, noise)| (window, Zeroizing::new(noise.iter().flat_map(|n| n.to_le_bytes()).collect())))
    }

    /// Has a noise for each window up to one, of so many lanes; what is missing is drawn by `draw`.
    ///
    /// # Errors
    /// Of `draw`; `None` inside where something that was kept has another length.
    pub(crate) fn filled<E>(
        &mut self,
        window: u32,
        lanes: usize,
        mut draw: impl FnMut() -> Result<Vec<i64>, E>,
    ) -> Result<Option<()>, E> {
        for before in 0..=window {
            match self.kept.get(&before) {
                Some(noise) if noise.len() != lanes => return Ok(None),
                Some(_) => {}
                None => {
                    self.kept.insert(before, Zeroizing::new(draw()?));
                    self.drawn.insert(before);
                }
            }
        }
        Ok(Some(()))
    }

    /// The noise of a window for some of the lanes.
    pub(crate) fn unfolded(&self, series: &Continual, window: u32, lanes: std::ops::Range<usize>) -> Option<Vec<i64>> {
        let own: Option<Vec<&[i64]>> = (0..=window).map(|before| self.kept.get(&before)?.get(lanes.clone())).collect();
        super::unfolded(series, window, &own?)
    }
}

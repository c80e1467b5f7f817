//! The largest groups of a window, where an operator tells of those alone. A window's groups come together from all shards.

use std::collections::BTreeMap;

use crate::out::Closed;

/// Leaves of each window as many rows as its operator tells: those with the largest counts, of equal ones the first by name.
pub(super) fn keep(closed: &mut Vec<Closed>, most: &[Option<usize>], names: &[String]) {
    let of = |c: &Closed| most.get(c.operator as usize).copied().flatten();
    if closed.iter().all(|c| of(c).is_none()) {
        return;
    }
    let mut windows: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (place, c) in closed.iter().enumerate().filter(|(_, c)| of(c).is_some()) {
        windows.entry((c.operator, c.window.start, c.window.end)).or_default().push(place);
    }
    let mut kept = vec![true; closed.len()];
    for mut places in windows.into_values() {
        let rank = |place: &usize| {
            let c = closed.get(*place);
            (c.map(|c| std::cmp::Reverse(c.count)), c.and_then(|c| names.get(c.group as usize)))
        };
        places.sort_by_key(rank);
        let most = places.first().and_then(|first| of(closed.get(*first)?)).unwrap_or(usize::MAX);
        for place in places.into_iter().skip(most) {
            if let Some(kept) = kept.get_mut(place) {
                *kept = false;
            }
        }
    }
    let mut kept = kept.into_iter();
    closed.retain(|_| kept.next().unwrap_or(true));
}

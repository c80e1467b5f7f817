//! UCUM's arithmetic, and what is not left to it.
//!
//! UCUM calls a mole a number, so by its arithmetic `mmol/L` is 6e20 a litre, and an equivalent a mole. Neither holds without
//! knowing the analyte; here two units convert only where they hold the same powers of mole, equivalent and osmole.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use octofhir_ucum::{SpecialKind, UnitExpr};

use super::Affine;

/// No unit is longer.
const LONGEST: usize = 80;
/// So many units, and pairs of them, are remembered; more are worked out each time.
const REMEMBERED: usize = 4096;

/// Whether a text is a UCUM unit. UCUM takes a number alone for one, so a score of `/10` would be a tenth; here a number is none, but
/// the unity `1`.
pub(super) fn valid(text: &str) -> bool {
    let named = text == "1" || text.bytes().any(|b| !b.is_ascii_digit() && !b"/.()+-".contains(&b));
    named && text.len() <= LONGEST && octofhir_ucum::analyse(text).is_ok()
}

/// A unit's powers of one thing, above and below the fraction's line: mmol/mol is no per cent, though both are numbers in UCUM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Power {
    pub(super) above: i32,
    pub(super) below: i32,
}

impl Power {
    /// Once above the line.
    pub(super) const ONE: Power = Power { above: 1, below: 0 };
    /// Not at all.
    pub(super) const NONE: Power = Power { above: 0, below: 0 };

    fn times(self, n: i32) -> Power {
        let by = |x: i32| x.saturating_mul(n.saturating_abs());
        let (above, below) = (by(self.above), by(self.below));
        if n < 0 { Power { above: below, below: above } } else { Power { above, below } }
    }

    fn plus(self, other: Power) -> Power {
        Power { above: self.above.saturating_add(other.above), below: self.below.saturating_add(other.below) }
    }
}

/// The powers of what UCUM takes for numbers and is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amounts {
    pub(super) moles: Power,
    pub(super) equivalents: Power,
    pub(super) osmoles: Power,
}

impl Amounts {
    fn times(self, n: i32) -> Amounts {
        Amounts { moles: self.moles.times(n), equivalents: self.equivalents.times(n), osmoles: self.osmoles.times(n) }
    }

    fn plus(self, b: Amounts) -> Amounts {
        Amounts {
            moles: self.moles.plus(b.moles),
            equivalents: self.equivalents.plus(b.equivalents),
            osmoles: self.osmoles.plus(b.osmoles),
        }
    }

    fn of(expr: &UnitExpr) -> Amounts {
        match expr {
            UnitExpr::Symbol(symbol) => Amounts::of_symbol(symbol),
            UnitExpr::Numeric(_) | UnitExpr::Annotation(_) => Amounts::default(),
            UnitExpr::Power(base, n) => Amounts::of(base).times(*n),
            UnitExpr::Annotated(inner, _) => Amounts::of(inner),
            UnitExpr::Product(terms) => terms.iter().map(Amounts::of).fold(Amounts::default(), Amounts::plus),
            UnitExpr::Quotient(a, b) => Amounts::of(a).plus(Amounts::of(b).times(-1)),
            UnitExpr::Reciprocal(a) => Amounts::of(a).times(-1),
        }
    }

    fn of_symbol(symbol: &str) -> Amounts {
        let is = |atom: &str| {
            symbol.strip_suffix(atom).is_some_and(|p| p.is_empty() || octofhir_ucum::find_prefix(p).is_some())
        };
        let once = |there: bool| if there { Power::ONE } else { Power::NONE };
        Amounts {
            // The katal and the enzyme unit are moles a second and micromoles a minute.
            moles: once(is("mol") || is("kat") || is("U")),
            equivalents: once(is("eq")),
            osmoles: once(is("osm")),
        }
    }
}

/// The powers of mole, equivalent and osmole in a unit.
pub(super) fn amounts(unit: &str) -> Option<Amounts> {
    (unit.len() <= LONGEST).then(|| octofhir_ucum::parse_expression(unit).ok()).flatten().map(|e| Amounts::of(&e))
}

/// The affine map from one unit to another, each pair worked out once a thread. `None` where the units are not of one kind, or
/// the map is not affine, as with pH.
pub(super) fn affine(from: &Arc<str>, to: &Arc<str>) -> Option<Affine> {
    type Pairs = HashMap<(Arc<str>, Arc<str>), Option<Affine>>;
    thread_local!(static PAIRS: RefCell<Pairs> = RefCell::new(HashMap::new()));
    PAIRS.with_borrow_mut(|pairs| {
        let key = (from.clone(), to.clone());
        if let Some(known) = pairs.get(&key) {
            return *known;
        }
        let map = worked_out(from, to);
        if pairs.len() < REMEMBERED {
            pairs.insert(key, map);
        }
        map
    })
}

fn worked_out(from: &str, to: &str) -> Option<Affine> {
    if from.len() > LONGEST || to.len() > LONGEST {
        return None;
    }
    let (a, b) = (octofhir_ucum::analyse(from).ok()?, octofhir_ucum::analyse(to).ok()?);
    let same = a.dimension == b.dimension && a.arbitrary == b.arbitrary;
    if !same || Amounts::of(&a.parsed_ast) != Amounts::of(&b.parsed_ast) {
        return None;
    }
    let temperature = |s: Option<SpecialKind>| {
        matches!(s, Some(SpecialKind::Celsius | SpecialKind::Fahrenheit | SpecialKind::Reaumur))
    };
    let proper = |s: Option<SpecialKind>| matches!(s, None | Some(SpecialKind::None | SpecialKind::Arbitrary));
    let convert = |value: f64| octofhir_ucum::convert(value, from, to).ok();
    match (a.special, b.special) {
        (x, y) if proper(x) && proper(y) => Some(Affine { scale: convert(1.0)?, offset: 0.0 }),
        (x, y) if (temperature(x) || proper(x)) && (temperature(y) || proper(y)) => {
            let offset = convert(0.0)?;
            Some(Affine { scale: (convert(1000.0)? - offset) / 1000.0, offset })
        }
        _ => None,
    }
}

//! The class of a visit by the codes for its kind that documents and resources carry.

/// SNOMED CT.
pub(crate) const SNOMED: &str = "http://snomed.info/sct";
/// CPT.
pub(crate) const CPT: &str = "http://www.ama-assn.org/go/cpt";

/// The class of HL7's ActCode; of CPT's numbers for the place and kind of a visit; of the SNOMED CT codes in use.
pub(crate) fn class(system: Option<&str>, text: &str) -> Option<&'static str> {
    match system {
        Some(CPT) => {
            let number: u32 = text.parse().ok()?;
            Some(match number {
                99_202..=99_205 | 99_201 | 99_211..=99_215 | 99_241..=99_245 | 99_381..=99_429 => "OP",
                99_217..=99_220 | 99_224..=99_226 => "OBS",
                99_221..=99_223 | 99_231..=99_233 | 99_238 | 99_239 | 99_251..=99_255 => "IP",
                99_281..=99_288 => "ER",
                99_291 | 99_292 => "ICU",
                _ => return None,
            })
        }
        Some(SNOMED) => Some(match text {
            "4525004" | "50849002" => "ER",
            "32485007" | "183452005" | "183450002" | "8715000" => "IP",
            "11429006" | "185345009" | "185347001" | "185349003" | "270427003" | "308335008" | "390906007"
            | "448337001" => "OP",
            _ => return None,
        }),
        _ => Some(match text.to_ascii_uppercase().as_str() {
            "IMP" | "ACUTE" | "NONAC" => "IP",
            "EMER" => "ER",
            "OBSENC" | "SS" => "OBS",
            "AMB" | "HH" | "VR" | "FLD" | "PRENC" => "OP",
            _ => return None,
        }),
    }
}

//! The mappings that are shipped: one TOML file for each tabular format that many hospitals have.

/// The formats that have a shipped mapping.
pub const SHIPPED: &[&str] = &["omop", "i2b2", "pcornet", "mimic-iii", "mimic-iv", "eicu", "synthea-csv"];

/// The text of the shipped mapping of a format, for a site to read, or to copy and change.
pub fn shipped(format: &str) -> Option<&'static str> {
    Some(match format {
        "omop" => include_str!("shipped/omop.toml"),
        "i2b2" => include_str!("shipped/i2b2.toml"),
        "pcornet" => include_str!("shipped/pcornet.toml"),
        "mimic-iii" => include_str!("shipped/mimic-iii.toml"),
        "mimic-iv" => include_str!("shipped/mimic-iv.toml"),
        "eicu" => include_str!("shipped/eicu.toml"),
        "synthea-csv" => include_str!("shipped/synthea-csv.toml"),
        _ => return None,
    })
}

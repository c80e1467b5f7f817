//! The report: one page that needs no network and runs no script. Every text of a study or a site is escaped.

use study::Plan;

use super::text::{Style, escape, number, short};
use super::{Provenance, Results, analyses, strobe, style, subgroups};

/// The page.
pub(super) fn html(results: &Results, provenance: &Provenance, plan: &Plan) -> String {
    let private = provenance.private && !results.simulation;
    let level = format!("{}\u{a0}%", number(100.0 * plan.study.report.confidence, Style::Plain));
    let title = escape(if results.title.is_empty() { &results.study } else { &results.title });
    let banner = "<p class=\"banner\" role=\"alert\">NOT PRIVATE: simulation without noise. These numbers are exact. \
                  Do not make them from, or mix them with, data of real patients.</p>";
    let sections: String = results
        .analyses
        .iter()
        .enumerate()
        .map(|(i, a)| {
            let planned = plan.study.analysis.get(i).map(|p| (&plan.study, p));
            analyses::section(a, planned, &level, private)
        })
        .collect();
    let sections = sections + &subgroups::section(results, &plan.study, &level);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title>\
         <style>{}</style></head><body><main>{}<header><p class=\"meta\">Federated study report</p><h1>{title}</h1>\
         <p class=\"meta\">Study {} · version {} · plan <code>{}</code></p></header>{}{sections}{}{}{}{}{}\
         </main></body></html>\n",
        style::CSS,
        if private { "" } else { banner },
        escape(&results.study),
        escape(&results.version),
        escape(&short(&provenance.plan_hash)),
        summary(provenance, private),
        methods(provenance, plan, private, &level),
        ledger(provenance, private),
        rounds(provenance),
        strobe::section(results, provenance, plan),
        verify(provenance),
    )
}

/// A cost; without noise there is none to state.
fn cost(value: f64, private: bool) -> String {
    if private { number(value, Style::Plain) } else { "–".to_owned() }
}

fn summary(p: &Provenance, private: bool) -> String {
    let sites = format!("{} of {} asked", p.sites_in(), p.sites.len());
    let mechanism = if private { p.mechanism.as_str() } else { "none: simulation without noise" };
    let (epsilon, delta) = (cost(p.epsilon, private), cost(p.delta, private));
    let items = [
        ("Sites with data in the results", sites.as_str()),
        ("ε of the study, at each site", &epsilon),
        ("δ", &delta),
        ("Protected", if private { &p.unit } else { "nobody" }),
        ("Aggregation", p.aggregation.as_str()),
        ("Noise", mechanism),
        ("Started", &p.started),
        ("Finished", &p.finished),
        ("Federation", &p.federation),
        ("Common schema", &p.schema),
        ("Software", &p.software),
    ];
    let items: String = items.iter().map(|(k, v)| format!("<div><dt>{k}</dt><dd>{}</dd></div>", escape(v))).collect();
    format!("<dl class=\"summary\">{items}</dl>")
}

fn methods(p: &Provenance, plan: &Plan, private: bool, level: &str) -> String {
    let noise = if private {
        let seen = match p.aggregation.as_str() {
            "secure" => {
                "Each site computed totals over its own patients, added its part of a random noise to them, and masked \
                 them before anything left it (secure aggregation; noise {}). The coordinator saw only the sum over the \
                 sites, with the noise of all. It"
            }
            _ => {
                "Each site computed totals over its own patients and added random noise to them before anything left it \
                 ({}). The coordinator saw only the noisy totals, and added them up. The noise"
            }
        };
        // A unit that says how many hospitals a patient may have has their costs in it.
        let several = match p.unit.contains("at most") {
            true => "",
            false => " A patient of several hospitals is counted at each, and bears the cost of each.",
        };
        let burned = match p.burned {
            0 => String::new(),
            n => format!(
                " {} of secure rounds came to nothing after sites had paid; their cost stands in the sites' ledgers \
                 and in the table of sites.",
                analyses::some(n, "attempt")
            ),
        };
        format!(
            "{} limits what anyone can learn \
             about one {}: the whole study costs at most ρ = {} in zero-concentrated differential privacy, which is \
             ε = {} at δ = {}.{several}{burned}",
            seen.replace("{}", &escape(&p.mechanism)),
            escape(&p.unit),
            number(p.rho, Style::Plain),
            number(p.epsilon, Style::Plain),
            number(p.delta, Style::Plain),
        )
    } else {
        "This was a simulation with the noise switched off. No privacy guarantee holds, and ε and δ do not apply."
            .to_owned()
    };
    format!(
        "<section><h2>Methods</h2><p>{noise}</p><p>The {level} intervals hold two errors: that of sampling, as in any \
         study, and that of the noise, whose size is known. The column “Wider through noise” says how much of the width \
         is due to the noise. A number of patients is not a sample: its interval holds the noise alone, which the table \
         calls “all of it”. The intervals do not hold bias, faulty records, or differences between sites, and they are \
         not adjusted for the number of comparisons.</p><p>“Suppressed” means that the value is withheld: the number \
         of patients is below {k} or the noise is too large for a useful number. The rule looks at the noisy value \
         alone, so it reveals nothing more. A true number just below {k} can be shown, and one just above withheld.</p>\
         </section>",
        k = plan.study.suppression.k,
    )
}

fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let heads: String = heads.iter().map(|h| format!("<th scope=\"col\">{h}</th>")).collect();
    let rows: String = rows
        .iter()
        .map(|r| {
            let cells: String = r.iter().map(|c| format!("<td>{}</td>", escape(c))).collect();
            format!("<tr>{cells}</tr>")
        })
        .collect();
    format!("<div class=\"scroll\"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>")
}

fn ledger(p: &Provenance, private: bool) -> String {
    let rows: Vec<Vec<String>> = p
        .sites
        .iter()
        .map(|s| {
            let country = s.country.clone();
            let rounds = p.rounds_of(&s.id).to_string();
            let (rho, epsilon) = (cost(s.rho, private), cost(s.epsilon, private));
            vec![s.id.clone(), country, s.decision.clone(), s.reason.clone(), rounds, rho, epsilon]
        })
        .collect();
    let table = table(&["Site", "Country", "Decision", "Reason", "Rounds", "ρ spent", "ε at the study’s δ"], &rows);
    format!("<section><h2>Privacy ledger of the study</h2>{table}</section>")
}

fn rounds(p: &Provenance) -> String {
    let rows: Vec<Vec<String>> = p
        .rounds
        .iter()
        .map(|r| {
            let (round, sites) = (r.round.to_string(), r.sites.to_string());
            vec![r.analysis.clone(), round, sites, r.finished.clone(), short(&r.merged_hash)]
        })
        .collect();
    let table = table(&["Analysis", "Round", "Sites", "Finished", "Hash of the sum"], &rows);
    format!(
        "<section><h2>Rounds</h2><details><summary>{} rounds, numbered from 0</summary>{table}</details></section>",
        p.rounds.len()
    )
}

fn verify(p: &Provenance) -> String {
    format!(
        "<section><h2>How to verify</h2><p>The files beside this report hold the same rows (estimates.json, \
         estimates.csv, estimates.parquet) and where they come from (provenance.json).</p><ul>\
         <li>The plan: the SHA-256 hash of its canonical bytes, with <code>insitu plan v1</code> and a zero byte before \
         them, is <code>{}</code>.</li>\
         <li>The signature: provenance.json holds it. Check it with the certificate of {}, serial number \
         <code>{}</code>.</li>\
         <li>The releases: provenance.json holds the hash of the bytes that each site sent in each round. A site finds \
         the same hashes in its own audit log.</li>\
         <li>The sums: provenance.json holds the hash of what the sites were told and of the sum, for each round.</li>\
         </ul></section>",
        escape(&p.plan_hash),
        escape(&p.signer),
        escape(&p.signer_certificate_serial),
    )
}

//! `coordinator privacy`: what noise means.

use clap::Subcommand;
use platform::terminal::say;
use privacy::accounting::{Accountant, search};
use serde_json::json;

use super::Arguments;

#[derive(Subcommand)]
pub(super) enum PrivacyVerb {
    /// The ε of Gaussian noise over rounds with Poisson sampling
    #[command(
        after_help = "Example:\n  coordinator privacy epsilon --noise-multiplier 1.1 --sampling-rate 0.00427 --rounds 14063 --delta 1e-5"
    )]
    Epsilon {
        /// σ over the L2 sensitivity
        #[arg(long)]
        noise_multiplier: f64,
        #[command(flatten)]
        plan: Sampled,
    },
    /// The least noise multiplier whose ε is no more than asked
    #[command(
        after_help = "Example:\n  coordinator privacy noise --epsilon 2 --sampling-rate 0.01 --rounds 1000 --delta 1e-5"
    )]
    Noise {
        /// ε
        #[arg(long)]
        epsilon: f64,
        #[command(flatten)]
        plan: Sampled,
    },
}

/// Rounds with sampling, and how they are counted.
#[derive(Clone, Copy, clap::Args)]
pub(super) struct Sampled {
    /// The probability with which a patient is in a round
    #[arg(long, default_value_t = 1.0)]
    sampling_rate: f64,
    /// Rounds
    #[arg(long, default_value_t = 1)]
    rounds: u64,
    /// δ
    #[arg(long)]
    delta: f64,
    /// How it is counted: rdp, or the tighter pld
    #[arg(long, default_value = "pld")]
    accountant: AccountantWord,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum AccountantWord {
    Rdp,
    Pld,
}

impl From<AccountantWord> for Accountant {
    fn from(word: AccountantWord) -> Accountant {
        match word {
            AccountantWord::Rdp => Accountant::Rdp,
            AccountantWord::Pld => Accountant::Pld,
        }
    }
}

pub(super) fn run(a: &Arguments, verb: &PrivacyVerb) -> anyhow::Result<()> {
    let (PrivacyVerb::Epsilon { plan, .. } | PrivacyVerb::Noise { plan, .. }) = verb;
    let Sampled { sampling_rate: rate, rounds, delta, accountant: word } = *plan;
    let noise = match *verb {
        PrivacyVerb::Epsilon { noise_multiplier, .. } => noise_multiplier,
        PrivacyVerb::Noise { epsilon, .. } => search::noise_multiplier(word.into(), epsilon, rate, rounds, delta)?,
    };
    let epsilon = search::epsilon(word.into(), noise, rate, rounds, delta)?;
    let accountant = format!("{word:?}").to_lowercase();
    let value = json!({
        "epsilon": epsilon, "delta": delta, "noise_multiplier": noise, "sampling_rate": rate, "rounds": rounds,
        "accountant": accountant,
    });
    let text = format!(
        "ε = {:.4} at δ = {delta:e}: noise multiplier {noise:.4}, sampling rate {rate}, {rounds} round(s), {accountant}",
        // Never below the bound: the last digit is rounded up.
        (epsilon * 1e4).ceil() / 1e4,
    );
    Ok(say(a.json, &value, &text)?)
}

//! The fifteen mistakes.
//!
//! Each section has the mistake, a number where there is one, the guard, and the idea of the test. Numbers without
//! another key are from [design], at the reference point of the [manual](super). Gates are tests that draw random data
//! and decide by statistics; every gate also meets a planted fault, which it must refuse. [Guards](super::guards) names the
//! tests that stand.
//!
//! # 1. Privacy of events called privacy of patients
//!
//! *Mistake*: noise hides one visit, and the report says "patient". Event level and user level are different promises
//! [dwork10]. Reported: NIST counts the unit of privacy among the first things to ask about a claim [nist226].
//!
//! *Number*: with k distinct codes a patient, the L2 sensitivity is √k. At k = 20, σ is 18.9 in place of 4.22.
//!
//! *Guard*: a statistic sees a patient's rows together and may add one bounded row of lanes. The plan names the unit.
//!
//! *Test, gate: sensitivity*: a neighbour lacks a whole patient, with hundreds of events. The distance of the sums
//! must stay within the declared norms.
//!
//! # 2. Patients who are at several hospitals
//!
//! *Mistake*: one patient at m sites is counted as one. Under secure aggregation the shares of noise are spent once,
//! and the patient moves the sum by m: the cost is m²ρ. With local noise it is mρ. Both follow from the Gaussian's ρ =
//! Δ²/2σ² and from addition [bun16].
//!
//! *Number*: at m = 3, ε = 3.32 in secure mode and 1.81 in local mode. At m = 5, 5.93 and 2.40.
//!
//! *Guard*: the unit reads "a patient at a hospital", or σ is scaled by a declared m. No text says just "patient".
//!
//! *Test, gate: two worlds*: the planted patient is at m sites. The bound that is measured must match m²ρ or mρ, and a
//! plan that declares m = 1 must be shown to exceed it.
//!
//! # 3. Fresh noise on a retry
//!
//! *Mistake*: the network fails, the site answers again, and draws again. The answers average.
//!
//! *Number*: fresh retries at ε = 1: two give 1.45, five 2.40, ten 3.52, a hundred 13.5.
//!
//! *Guard*: see the sealing transaction. Bytes are found by the hash of the canonical manifest and sent as they are.
//!
//! *Test, kill at every state*: the process is killed at each step of a release, for many schedules. All bytes that
//! ever left for one manifest must be identical.
//!
//! # 4. A refund on failure
//!
//! *Mistake*: a round fails, and the budget is given back. But the bytes may have left before the failure was noticed.
//!
//! *Number*: none is needed; a round that was lost after it was sealed costs what it would have cost.
//!
//! *Guard*: there is no operation that lowers a total. A crash at `Reserved` leaves the charge. A rerun of a secure
//! round is a new manifest with new masks, new noise and a new charge.
//!
//! *Test, kill at every state*: after each schedule the ledger's total is at least the cost of every byte that left,
//! and no step of the history lowers it.
//!
//! # 5. Noise sized for all sites while some drop out
//!
//! *Mistake*: each site adds 1/K of the variance, and fewer than K arrive. Sums of discrete Gaussians need their own
//! analysis as well, since the sum is not exactly one again [kairouz21].
//!
//! *Number*: sized for 40, the sum holds ε = 1.06 with 36 sites, 1.17 with 30, 1.24 with 27, 1.45 with 20. Sized for
//! 27, a full attendance has 1.22 times the noise that it needs.
//!
//! *Guard*: shares are sized for the threshold t. Fewer survivors than t: no unmasking.
//!
//! *Test, gate: end to end*: rounds with random dropouts down to t. The variance of the sum must be at least the
//! promised one at t, and t − 1 survivors must yield nothing. A planted √K in place of √t must be found.
//!
//! # 6. Two unmaskings of one round
//!
//! *Mistake*: the coordinator asks for one set of survivors and then for another. The difference is one site's vector.
//! The double mask of [bonawitz17] exists for this, and fails if a peer gives both parts.
//!
//! *Number*: the site then stands behind its own share of noise alone: ε = 6.2 with shares sized for 27.
//!
//! *Guard*: see `secagg`. A site signs one survivor set a round, and reveals for each peer the seed or the key, never
//! both.
//!
//! *Test*: a hostile coordinator sends all pairs of survivor sets, in all orders, with restarts between. No order may
//! yield both parts for any peer, nor two signatures of one site for one round.
//!
//! # 7. Floating-point noise
//!
//! *Mistake*: see the first sections of [failures](super::failures) and [mironov12], [jin22], [haney22].
//!
//! *Number*: none; one impossible output decides between two data sets.
//!
//! *Guard*: integers in, integers out; an exact sampler with its proof in `privacy/proofs`.
//!
//! *Test, gate: sampler*: draws against the exact mass function by χ² and Kolmogorov–Smirnov, and the variance. With
//! 111,000 draws the gate finds an error of 2 % in σ. A planted rounded float sampler must be refused.
//!
//! # 8. Approximate formulas in the accountant
//!
//! *Mistake*: a formula for small ε is used at large ε, or a bound is rounded down. The classical Gaussian formula is
//! not valid at large ε and loose at small [balle18].
//!
//! *Number*: for σ = 1 and δ = 1e-6, the exact ε is 4.886554, RDP gives 5.2215, ρ + 2√(ρ ln 1/δ) gives 5.7565. All
//! three are safe; they differ in cost. A figure below the first is a fault.
//!
//! *Guard*: RDP curves [mironov17] on a fixed grid of orders, in billionths, rounded up at each step. A δ below 1e-12
//! is refused.
//!
//! *Test, accountant vectors*: published settings, with and without sampling. The result may be above the refined
//! reference by no more than a stated margin, and below it never. The exact Gaussian is a closed form to compare with.
//!
//! # 9. Amplification without its conditions
//!
//! *Mistake*: shuffled batches, or a draw that the coordinator sees, with the ε of secret Poisson sampling [chua24]
//! [lebeda24].
//!
//! *Number*: σ = 1, q = 0.01, 1,000 steps, δ = 1e-5: RDP gives 2.1014 with sampling. Without amplification the zCDP
//! reading is 649.
//!
//! *Guard*: amplification is claimed for true Poisson sampling at the site alone, with the draw kept secret. All else
//! is charged without q.
//!
//! *Test*: inclusion of each patient over many rounds must be independent with probability q, across patients and
//! rounds. A planted shuffle fails, because its batches have one size.
//!
//! # 10. A threshold off by one
//!
//! *Mistake*: the code keeps counts of at least τ, and δ is computed for counts above τ. This happened [opendp2922].
//! Why a threshold is needed for open keys, see [partition20].
//!
//! *Number*: at scale 1 and threshold 5, δ was given as 0.00493 and measured as 0.01366. Here τ = 22 for one key a
//! patient at the reference point.
//!
//! *Guard*: the stability histogram's threshold is charged with the corrected δ, of keeping at equality.
//!
//! *Test, gate: threshold*: 200,000 keys that one patient each holds. The rate of released keys must not exceed δ's
//! bound. The planted fault is a threshold lower by one.
//!
//! # 11. L1 used for L2, or the other way round
//!
//! *Mistake*: Laplace noise with an L2 bound, or a Gaussian for a tree with the norm of its leaves. This happened too
//! [opendp2924].
//!
//! *Number*: on one tree, 32 became 1,448 where the map said 352. For a tree of L levels and one leaf a patient, L2 =
//! √L.
//!
//! *Guard*: a statistic states L1, L2 and L∞. The Gaussian reads L2 alone.
//!
//! *Test, gate: sensitivity*: all three norms are measured on random and on worst-case neighbours. A statistic that
//! swaps two of them must be refused.
//!
//! # 12. Things taken from data and released free
//!
//! *Mistake*: bounds, keys, sizes of cohorts, tuning or errors come from data and leave without noise. Tuning by
//! non-private runs leaks [papernot22]. An audit found scales and loop counts that depend on data [cebere26].
//!
//! *Number*: automatic bounds cost about 10 % of ρ; free bounds have no number at all.
//!
//! *Guard*: all of these stand in the plan, or are a charged release. Errors in expressions become NULL. A site sends
//! no count of rows.
//!
//! *Test*: two runs on neighbouring data with the same randomness. All that leaves, apart from the noised lanes, must
//! be the same: lengths, manifests, order and texts. A planted row count in a message must be found.
//!
//! # 13. Naive intervals on noisy numbers
//!
//! *Mistake*: a p-value or an interval that knows sampling and forgets noise. The literature finds such p-values
//! biased and unreliable [wang15], and builds tests that account for the noise [kifer16].
//!
//! *Number*: log-rank at the nominal 5 %, secure and local: 0.043 and 0.097 with 200,000 patients, 0.07 and 0.47 with
//! 20,000, 0.22 and 0.81 with 2,000. Tests that know the noise stay within 0.03 to 0.05.
//!
//! *Guard*: an `Estimate` holds both parts. A naive p-value is not offered; a parametric bootstrap over data and noise
//! is.
//!
//! *Test*: many simulated studies without effect. Coverage and type I error must be near nominal at all three sizes,
//! and an estimate stripped of its noise part must fail.
//!
//! # 14. A secret hash, or secure aggregation, called differential privacy
//!
//! *Mistake*: pseudonyms are linkable by whoever holds the key, sketches reveal members [desfontaines19], and a sum of
//! exact values is an exact value [elkordy23] [ngo24].
//!
//! *Number*: plain HyperLogLog registers exclude 49 % of the absent ids at 5,000 patients.
//!
//! *Guard*: only a mechanism or a mask over a noised share makes a `Released`, and only that can be sent. No text calls
//! a mask or a pseudonym differential privacy.
//!
//! *Test*: programs that try to print, copy, open or serialise a `Sensitive` must not compile. A canary audit of whole
//! programs in one run [steinke23] finds gross faults alone: a tenth of the noise of codes, a thirtieth of a model's.
//!
//! # 15. A seedable generator, or a ledger from a backup
//!
//! *Mistake*: whoever knows the seed subtracts the noise [garfinkel20]. Whoever restores an old ledger spends twice
//! [rote17].
//!
//! *Number*: one restored answer is a second draw: ε = 1.45 in place of 1.
//!
//! *Guard*: OpenSSL's generator for noise, asserted at compile time; no seed in production. The ledger is a hash
//! chain, and its head is anchored at the coordinator. Behind the anchor: fail closed.
//!
//! *Test*: a copy of the store is put back after further releases. The agent must refuse to release. Two processes
//! that start from the same state must not draw the same noise.
//!
//! [balle18]: super::sources#balle18
//! [bonawitz17]: super::sources#bonawitz17
//! [bun16]: super::sources#bun16
//! [cebere26]: super::sources#cebere26
//! [chua24]: super::sources#chua24
//! [desfontaines19]: super::sources#desfontaines19
//! [design]: super::sources#design
//! [dwork10]: super::sources#dwork10
//! [elkordy23]: super::sources#elkordy23
//! [garfinkel20]: super::sources#garfinkel20
//! [haney22]: super::sources#haney22
//! [jin22]: super::sources#jin22
//! [kairouz21]: super::sources#kairouz21
//! [kifer16]: super::sources#kifer16
//! [lebeda24]: super::sources#lebeda24
//! [mironov12]: super::sources#mironov12
//! [mironov17]: super::sources#mironov17
//! [ngo24]: super::sources#ngo24
//! [nist226]: super::sources#nist226
//! [opendp2922]: super::sources#opendp2922
//! [opendp2924]: super::sources#opendp2924
//! [papernot22]: super::sources#papernot22
//! [partition20]: super::sources#partition20
//! [rote17]: super::sources#rote17
//! [steinke23]: super::sources#steinke23
//! [wang15]: super::sources#wang15

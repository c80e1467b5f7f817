//! Other systems' failures, and what prevents each here.
//!
//! # Noise and numbers
//!
//! ## Floating-point Laplace noise
//!
//! Mironov showed that all four general-purpose systems then public leaked through the low bits of their noise
//! [mironov12]. The textbook sampler over doubles can't reach every double, so some outputs are possible under one
//! data set and impossible under its neighbour. Later attacks reached Gaussian noise [jin22] and the addition itself:
//! the gaps between doubles depend on the size of the true value, even if the noise is perfect [haney22]. A partial
//! repair spread to other libraries; threads argue that it hides the holes and does not close them [opacus616]
//! [diffprivlib94].
//!
//! *Here*: noise is an integer, added to an integer. See the exact sampler and its proof in `privacy/proofs`, after
//! the method of [canonne20]. No float touches a sum or its noise.
//!
//! ## Noise that tells its size by its time
//!
//! Discrete samplers were the answer to floats. Jin et al. measured how long a draw takes and read off how large the
//! noise was: the loops of a rejection sampler run longer for larger values [jin22].
//!
//! *Here*: a release is sampled in bulk, sealed, and then sent, so no single draw can be timed from outside. The total
//! time is not hidden. See "The sampler" in the threat model: this is a remainder, not a solved problem.
//!
//! ## Sensitivity that arithmetic breaks
//!
//! Sums of machine numbers are not sums of real numbers. Overflow wraps, and the order of float additions changes the
//! result, so one person can move a "bounded" sum by far more than the bound [casacuberta22].
//!
//! *Here*: lanes are integers of fixed width, per-patient bounds are applied before the sum, and integer addition has
//! no order. The sensitivity gate draws random and extreme neighbours and compares the real distance with the declared
//! one.
//!
//! ## Wrong constants in a good library
//!
//! Three faults were filed against OpenDP in 2026, each with a small program that shows it. The selection of a maximum
//! declared a quarter of its true ρ, because the bound was that of another mechanism [opendp2911]. The threshold
//! mechanisms released a count equal to the threshold, while δ left that value out [opendp2922]. The map of b-ary
//! trees under L2 ignored that a difference spread over leaves adds up in their parents [opendp2924]. In the case that
//! this project measured, 32 became 1,448 where the map said 352 [design].
//!
//! *Here*: a sampler may be borrowed, a privacy map is not. Sensitivity is stated and proved in this room, and no
//! data-dependent selection is used. See the stability histogram's threshold, charged with the corrected δ.
//!
//! ## A filter that slows down
//!
//! OpenDP's privacy filters take time that grows with the square of the number of queries [opendp2909]. A ledger that
//! becomes slow invites a cache, and a cache of a budget invites a double spend.
//!
//! *Here*: the ledger keeps running totals, and `PrivacyFilter` compares them with the caps in one step.
//!
//! ## Weak or silent randomness
//!
//! The Census Bureau's engineers found the Mersenne Twister unacceptable for production privacy [garfinkel20]. A
//! thread on TensorFlow Privacy asks about its generator; the maintainers answered that they know of the matter
//! [tfp349]. In the OpenDP crate, a build without `use-openssl` takes another generator, which its own comment calls
//! not secure [opendprng]. Nothing fails: the build is merely weaker.
//!
//! *Here*: a test over the dependencies asserts the feature, and no option or message gives an agent a seed.
//!
//! # Accounting
//!
//! ## Shuffled batches with the Poisson formula
//!
//! Training code shuffles its data and reads ε from an analysis of Poisson sampling. The gap can be large [chua24]
//! [chua24b]. An audit found privacy overstated by up to 4 times, and by up to 10 under two common variants
//! [shuffleaudit24]. Sampling without replacement differs too: one example has ε near 1 with Poisson and above 10
//! without replacement [lebeda24]. A maintainer said in 2023 that neither event describes the usual loop [tfp483], and
//! a change of 2026 proposed a warning for a default that does not sample as the accountant assumes [jaxpriv272].
//!
//! *Here*: only true Poisson sampling, one independent coin a patient, drawn and kept secret at the site, may claim
//! amplification. All else is charged in full.
//!
//! ## An accountant for one noise, a formula for another
//!
//! A SQL system drew Gaussian noise by default and took its threshold from a Laplace formula [smartnoise204].
//!
//! *Here*: noise, scale and cost come from one value. See RDP curves in billionths rounded up: the curve belongs to
//! the mechanism that sampled, and no caller may pass a cost of its own.
//!
//! ## A budget that renews each day
//!
//! Tang et al. read macOS 10.12 and found a loss of 1 or 2 per datum, up to 16 a day over four uses, and a fresh
//! allowance every day. The possible loss grew with the days since opting in [tang17].
//!
//! *Here*: caps are per study, per site and year, and for life. A new year opens a new yearly cap, but the lifetime
//! cap bounds all years together.
//!
//! ## A cost that grows with the output
//!
//! NVFlare's sparse-vector filter takes an `epsilon`, uses it for the noisy threshold, and derives the second part of
//! the budget from it and from the number of weights to send [nvflaresvt]. With the defaults and 100,000 weights, that
//! part is 74 by the formula in the version that was read. The file holds no sum over rounds. Its percentile filter
//! clips and drops small weights and adds no noise [nvflarepct]; one medical project that uses it writes that it is
//! not formal differential privacy [mediswarm530].
//!
//! *Here*: every `Charge` is minted by `PrivacyFilter` against the ledger's total. Clipping alone makes no `Released`.
//!
//! ## Sparse vector, wrong in many variants
//!
//! Lyu, Su and Li found that most published variants of the sparse vector technique are not private [lyu17]. Reported
//! errors: the queries get no noise, the noise does not scale with the number of positive answers, or the value that
//! passed is given out without new noise.
//!
//! *Here*: there is no sparse vector and no noisy maximum. A top-k is read off a noised dense vector, which costs
//! nothing more, since it is post-processing.
//!
//! # Queries, errors and side channels
//!
//! ## PINQ and Airavat: channels around the noise
//!
//! Haeberlen, Pierce and Narayan attacked systems that run an analyst's code on the data [haeberlen11]. Reported
//! channels are the run time, state that survives between rows, and the budget itself, if its use depends on data. One
//! bit is enough, if the bit is a diagnosis.
//!
//! *Here*: a closed set of statistics, no shipped code. The cost is fixed by the plan before data are read. An error
//! of an expression becomes NULL. Run time and refusals are named as remainders in the threat model.
//!
//! ## Bugs in the glue
//!
//! An audit of twelve libraries found thirteen faults [cebere26]. Some of its authors describe the kind: a sensitivity
//! taken from values before clipping, a scale or a loop count that depends on data. The mechanisms themselves are
//! rarely at fault [bugspost26]. An audit of a training method rejected its claimed privacy with very high confidence
//! [tramer22].
//!
//! *Here*: see `Sensitive`/`Released`. The scale is fixed before the sum exists, and the gates run the whole path.
//!
//! ## Diffix: noise that sticks to the question
//!
//! Diffix attached fixed noise to the parts of a query, with no budget. Gadotti et al. used that structure to infer
//! attributes of users in four real data sets, with 93 to 97 % accuracy [gadotti19]. Cohen and Nissim won a bounty,
//! reported with a reconstruction by linear programs, and the vendor published a fix [aircloak18]; a later bounty went
//! to a third team [aircloak20].
//!
//! *Here*: noise never depends on the wording. It is drawn once a release, costs budget, and repeats only as bytes.
//!
//! ## Disclosure checks and means and covariances
//!
//! Huth et al. rebuilt protected columns from means, covariances and vectors that the analyst knows, functions that
//! several frameworks offer [huth23]. DataSHIELD's maintainers confirmed the class of attack and named data access
//! agreements as one guard [datashield22]. The platform's checks are limits such as a smallest cell or subset
//! [dschecks]. A limit looks at one answer; the attack lives in the sum of many.
//!
//! *Here*: sums of products are statistics like others, clipped per patient, noised and charged. Repeating spends.
//!
//! ## Small-cell thresholds
//!
//! Minimum counts are common: a Kaplan–Meier program for vantage6 asks for at least 3 organisations and a minimum of
//! records [v6km]. AWS warns that minimum thresholds alone do not stop differencing [awsclean]. Asghar and Kaafar
//! removed bounded noise of the kind used in a census tool, although it suppressed small groups and repeated its
//! answer for equal groups [asghar19].
//!
//! *Here*: a study's minimum count is applied to the noised value, for readability. It carries none of the promise.
//!
//! ## Reconstruction from many tables
//!
//! Dinur and Nissim proved that answers with error well below √n to many sums let an attacker rebuild nearly all of
//! the data [dinur03]. The Census Bureau rebuilt its 2010 tables: all records of 70 % of blocks, 97 million people,
//! can be verified as exact [abowd23]. Others dispute how far such reconstruction leads to disclosure [sanchez23].
//!
//! *Here*: this is the reason for a budget at all. The caps bound the total, whatever the questions are.
//!
//! ## HyperLogLog is not private
//!
//! Desfontaines et al. proved that a mergeable distinct counter can't be both accurate and private, even under a weak
//! definition, and advise to treat sketches as raw data [desfontaines19]. In this project's run at 5,000 patients, the
//! registers excluded 49 % of the absent ids [design].
//!
//! *Here*: a sketch is local working memory. A distinct count leaves only as a noised integer vector.
//!
//! # Secure aggregation
//!
//! ## Secure aggregation taken for privacy
//!
//! A sum hides who added what. It does not hide what the sum says. Elkordy et al. note that no formal guarantee
//! existed for it and that leakage falls with the number of users [elkordy23]; Ngo et al. tell apart two candidate
//! updates even in one round, and call for added noise [ngo24].
//!
//! *Here*: noise is added before the mask, so the sum is private. A mask takes a `Released`, never a `Sensitive`.
//!
//! ## One model for each victim
//!
//! Pasquini et al. show that a server that gives different parameters to different users evades secure aggregation,
//! for any number of users [pasquini22]. The users never compare what they were sent.
//!
//! *Here*: see `secagg`: the manifest hash, over query, parameters, cohort, charge, model and round, is in every HKDF
//! info. Sites with different manifests derive different masks, and the sum stays noise.
//!
//! ## Honest but curious
//!
//! Bonawitz et al. give two protocols. The cheaper one is proved against an honest but curious server, the other also
//! against an active one, for one more round [bonawitz17]. The paper on secure aggregation in Flower states the
//! semi-honest model [salvia22]. In the version of its client that was read, keys come through the server unsigned,
//! and the unmasking step does not check that the lists of the living and the dropped are disjoint [flowermod]. Within
//! that model neither check is needed. Under an active server both are.
//!
//! *Here*: the active variant. See pins of identity keys at the sites, the consistency round, the survivor set signed
//! once, and reveal per peer seed or key never both.
//!
//! ## The difference of two sums
//!
//! If the same person takes part in one round and not in the next, the difference of the sums is that person's part.
//! So et al. show that usual random selection reveals single models after a number of rounds linear in the users
//! [so23].
//!
//! *Here*: noise is fresh in each round and each round is charged, so a difference holds two noises. Within a round, a
//! second unmasking is refused: the survivor set is signed once. Size noise for t − c if c sites may collude.
//!
//! ## Shamir with biased coefficients
//!
//! An audit of `vsss-rs` reported in 2026 that zero coefficients were rejected in all fields, and that its GF(256)
//! generator made only odd numbers; the maintainer announced fixes [vsss24]. The crate `sharks` had left out zero as
//! well, and shared secrets lost candidates with each new sharing [sharks]. Perfect secrecy needs uniform
//! coefficients, zero included, the leading one too.
//!
//! *Here*: `secagg` shares over a prime field, with a test that zero and every other residue occur.
//!
//! # State
//!
//! ## Rollback
//!
//! Sealed state can be genuine and old. A single platform can't prevent its own rollback; others must remember for it
//! [rote17]. For a ledger this gives budget back and allows fresh noise for an answered round.
//!
//! *Here*: see the ledger's hash chain with heads anchored at the coordinator. A site whose head is behind its anchor
//! fails closed. If site and coordinator are rolled back together, nothing here notices.
//!
//! ## Crash between spending and sending
//!
//! A system that spends after sending forgets on a crash. One that draws anew after a crash lets answers be averaged:
//! ten fresh answers at ε = 1 stand at 3.52, a hundred at 13.5 [design].
//!
//! *Here*: see the sealing transaction: charge, noised bytes and hash are synced before the first send. After any
//! crash the same bytes go out, or none.
//!
//! ## Bounds taken from the data
//!
//! A range read from the data is itself an output without noise. Extreme values then show, and the sensitivity moves
//! with one person. A parameter chosen by non-private runs leaks in the same way [papernot22].
//!
//! *Here*: bounds, bins, codes and schedules are in the plan. Automatic bounds are a charged release of their own.
//!
//! [abowd23]: super::sources#abowd23
//! [aircloak18]: super::sources#aircloak18
//! [aircloak20]: super::sources#aircloak20
//! [asghar19]: super::sources#asghar19
//! [awsclean]: super::sources#awsclean
//! [bonawitz17]: super::sources#bonawitz17
//! [bugspost26]: super::sources#bugspost26
//! [canonne20]: super::sources#canonne20
//! [casacuberta22]: super::sources#casacuberta22
//! [cebere26]: super::sources#cebere26
//! [chua24]: super::sources#chua24
//! [chua24b]: super::sources#chua24b
//! [datashield22]: super::sources#datashield22
//! [desfontaines19]: super::sources#desfontaines19
//! [design]: super::sources#design
//! [diffprivlib94]: super::sources#diffprivlib94
//! [dinur03]: super::sources#dinur03
//! [dschecks]: super::sources#dschecks
//! [elkordy23]: super::sources#elkordy23
//! [flowermod]: super::sources#flowermod
//! [gadotti19]: super::sources#gadotti19
//! [garfinkel20]: super::sources#garfinkel20
//! [haeberlen11]: super::sources#haeberlen11
//! [haney22]: super::sources#haney22
//! [huth23]: super::sources#huth23
//! [jaxpriv272]: super::sources#jaxpriv272
//! [jin22]: super::sources#jin22
//! [lebeda24]: super::sources#lebeda24
//! [lyu17]: super::sources#lyu17
//! [mediswarm530]: super::sources#mediswarm530
//! [mironov12]: super::sources#mironov12
//! [ngo24]: super::sources#ngo24
//! [nvflarepct]: super::sources#nvflarepct
//! [nvflaresvt]: super::sources#nvflaresvt
//! [opacus616]: super::sources#opacus616
//! [opendp2909]: super::sources#opendp2909
//! [opendp2911]: super::sources#opendp2911
//! [opendp2922]: super::sources#opendp2922
//! [opendp2924]: super::sources#opendp2924
//! [opendprng]: super::sources#opendprng
//! [papernot22]: super::sources#papernot22
//! [pasquini22]: super::sources#pasquini22
//! [rote17]: super::sources#rote17
//! [salvia22]: super::sources#salvia22
//! [sanchez23]: super::sources#sanchez23
//! [sharks]: super::sources#sharks
//! [shuffleaudit24]: super::sources#shuffleaudit24
//! [smartnoise204]: super::sources#smartnoise204
//! [so23]: super::sources#so23
//! [tang17]: super::sources#tang17
//! [tfp349]: super::sources#tfp349
//! [tfp483]: super::sources#tfp483
//! [tramer22]: super::sources#tramer22
//! [v6km]: super::sources#v6km
//! [vsss24]: super::sources#vsss24

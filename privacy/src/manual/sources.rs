//! Sources: the papers, standards and threads that the manual cites.
//!
//! A thread is cited with its state when it was read. An article that had a preprint is cited with both. Entries
//! without a person's name are works whose authors were not checked, or threads.
//!
//! ## design
//! InSitu: the privacy design's worked figures. Measured or computed by this project at the reference point: 40 sites,
//! 5,000 patients each, ε = 1, δ = 1e-6. The Gaussian ones can be repeated from the closed form of [balle18].
//!
//! # Noise and numbers
//!
//! ## mironov12
//! Ilya Mironov: On Significance of the Least Significant Bits for Differential Privacy. ACM CCS 2012.
//! ## haney22
//! Samuel Haney, Damien Desfontaines, Luke Hartman, Ruchit Shrestha, Michael Hay: Precision-based attacks and interval
//! refining. 2022. arXiv 2207.13793.
//! ## jin22
//! Jiankai Jin, Eleanor McMurtry, Benjamin Rubinstein, Olga Ohrimenko: Are We There Yet? Timing and Floating-Point
//! Attacks on Differential Privacy Systems. 2021, 2022. arXiv 2112.05307.
//! ## casacuberta22
//! Sílvia Casacuberta, Michael Shoemate, Salil Vadhan, Connor Wagaman: Widespread Underestimation of Sensitivity in
//! Differentially Private Libraries and How to Fix It. ACM CCS 2022.
//! ## canonne20
//! Clément Canonne, Gautam Kamath, Thomas Steinke: The Discrete Gaussian for Differential Privacy. NeurIPS 2020. arXiv
//! 2004.00010.
//! ## opendp2911
//! opendp/opendp, issue 2911, 2026, closed: report noisy max and its budget under zCDP. Seen with OpenDP 0.15.1.
//! ## opendp2922
//! opendp/opendp, issue 2922, 2026: the δ of the Laplace and Gaussian thresholds.
//! ## opendp2924
//! opendp/opendp, issue 2924, 2026: the stability map of b-ary trees under L2.
//! ## opendp2909
//! opendp/opendp, issue 2909, 2026: run time of privacy filters. Seen with OpenDP 0.15.1.
//! ## opendprng
//! The crate opendp, 0.14.2, `src/traits/samplers/mod.rs`: `fill_bytes` with and without `use-openssl`.
//! ## opacus616
//! meta-pytorch/opacus, issue 616, 2024, closed: noise under `secure_mode`.
//! ## diffprivlib94
//! IBM/differential-privacy-library, issue 94, 2024: noise primitives that should be marked.
//! ## tfp349
//! tensorflow/privacy, issue 349, 2022: the random number generator.
//! ## garfinkel20
//! Simson Garfinkel, Philip Leclerc: Randomness Concerns When Deploying Differential Privacy. 2020. arXiv 2009.03777.
//!
//! # Accounting
//!
//! ## bun16
//! Mark Bun, Thomas Steinke: Concentrated Differential Privacy: Simplifications, Extensions, and Lower Bounds. 2016.
//! arXiv 1605.02065.
//! ## mironov17
//! Ilya Mironov: Rényi Differential Privacy. 2017. arXiv 1702.07476.
//! ## balle18
//! Borja Balle, Yu-Xiang Wang: Improving the Gaussian Mechanism for Differential Privacy: Analytical Calibration and
//! Optimal Denoising. ICML 2018. arXiv 1805.06530.
//! ## chua24
//! Lynn Chua and others: How Private are DP-SGD Implementations? ICML 2024. arXiv 2403.17673.
//! ## chua24b
//! Lynn Chua and others: Scalable DP-SGD: Shuffling vs. Poisson Subsampling. NeurIPS 2024. arXiv 2411.04205.
//! ## shuffleaudit24
//! To Shuffle or not to Shuffle: Auditing DP-SGD with Shuffling. 2024. arXiv 2411.10614.
//! ## lebeda24
//! Christian Lebeda, Matthew Regehr, Gautam Kamath, Thomas Steinke: Avoiding Pitfalls for Privacy Accounting of
//! Subsampled Mechanisms under Composition. 2024. arXiv 2405.20769.
//! ## tfp483
//! tensorflow/privacy, issue 483, 2023, closed: which sampling event DP-SGD should be charged as.
//! ## jaxpriv272
//! google-deepmind/jax_privacy, pull request 272, 2026, closed: a warning if the accountant assumes Poisson sampling.
//! ## smartnoise204
//! opendp/smartnoise-sdk, issue 204, 2020, closed: a Laplace threshold with Gaussian noise.
//! ## tang17
//! Jun Tang, Aleksandra Korolova, Xiaolong Bai, Xueqiang Wang, Xiaofeng Wang: Privacy Loss in Apple's Implementation
//! of Differential Privacy on MacOS 10.12. 2017. arXiv 1709.02753.
//! ## nvflaresvt
//! NVIDIA/NVFlare, `nvflare/app_common/filters/svt_privacy.py`, read at commit 01180f35.
//! ## nvflarepct
//! NVIDIA/NVFlare, `nvflare/app_common/filters/percentile_privacy.py`, read at commit 01180f35.
//! ## mediswarm530
//! KatherLab/MediSwarm, issue 530, 2026, closed: from percentile clipping to calibrated noise.
//! ## lyu17
//! Min Lyu, Dong Su, Ninghui Li: Understanding the Sparse Vector Technique for Differential Privacy. PVLDB 10, 2017.
//! arXiv 1603.01699.
//! ## papernot22
//! Nicolas Papernot, Thomas Steinke: Hyperparameter Tuning with Rényi Differential Privacy. ICLR 2022. arXiv
//! 2110.03620.
//! ## partition20
//! Damien Desfontaines, James Voss, Bryant Gipson, Chinmoy Mandayam: Differentially private partition selection. 2020.
//! arXiv 2006.03684.
//! ## dwork10
//! Cynthia Dwork, Moni Naor, Toniann Pitassi, Guy Rothblum: Differential Privacy under Continual Observation. 2010.
//! ## nist226
//! Joseph Near, David Darais, Naomi Lefkovitz, Gary Howarth: Guidelines for Evaluating Differential Privacy
//! Guarantees. NIST SP 800-226, March 2025.
//! ## wang15
//! Revisiting Differentially Private Hypothesis Tests for Categorical Data. 2015, revised 2017. arXiv 1511.03376.
//! ## kifer16
//! Daniel Kifer, Ryan Rogers: A New Class of Private Chi-Square Tests. 2016. arXiv 1610.07662.
//!
//! # Audits of implementations
//!
//! ## cebere26
//! Tudor Cebere, David Erb, Damien Desfontaines, Aurélien Bellet, Jack Fitzsimons: Privacy in Theory, Bugs in
//! Practice: Grey-Box Auditing of Differential Privacy Libraries. PETS 2026. arXiv 2602.17454.
//! ## bugspost26
//! David Erb, Jack Fitzsimons: Research post: Privacy in theory, bugs in practice. desfontain.es, 2026.
//! ## tramer22
//! Florian Tramèr and others: Debugging Differential Privacy: A Case Study for Privacy Auditing. 2022. arXiv
//! 2202.12219.
//! ## steinke23
//! Thomas Steinke, Milad Nasr, Matthew Jagielski: Privacy Auditing with One (1) Training Run. NeurIPS 2023. arXiv
//! 2305.08846.
//!
//! # Attacks on answers
//!
//! ## haeberlen11
//! Andreas Haeberlen, Benjamin Pierce, Arjun Narayan: Differential Privacy Under Fire. USENIX Security 2011.
//! ## gadotti19
//! Andrea Gadotti and others: When the Signal is in the Noise: Exploiting Diffix's Sticky Noise. USENIX Security 2019.
//! arXiv 1804.06752.
//! ## aircloak18
//! Paul Francis: Fix for the MIT/Georgetown Univ Attack on Diffix. aircloak.com, 17 October 2018.
//! ## aircloak20
//! Paul Francis: Diffix Cedar bounty prize awarded to UPenn students. aircloak.com, 25 August 2020.
//! ## huth23
//! Manuel Huth and others: Accessibility of covariance information creates vulnerability in Federated Learning
//! frameworks. Bioinformatics 39(9), 2023. PMID 37647639.
//! ## datashield22
//! The DataSHIELD project: Statement: DataSHIELD disclosure controls and mitigation. DataSHIELD forum, topic 628, 11
//! October 2022.
//! ## dschecks
//! DataSHIELD wiki: Disclosure checks. As of March 2022.
//! ## v6km
//! IKNL/v6-kaplan-meier-on-ohdsi-py: README, the section on privacy guards.
//! ## awsclean
//! AWS Clean Rooms user guide: Considerations and limitations, the page on custom queries.
//! ## asghar19
//! Hassan Jameel Asghar, Dali Kaafar: Averaging Attacks on Bounded Noise-based Disclosure Control Algorithms. arXiv,
//! 2019.
//! ## dinur03
//! Irit Dinur, Kobbi Nissim: Revealing Information while Preserving Privacy. PODS 2003.
//! ## abowd23
//! John Abowd and others: The 2010 Census Confidentiality Protections Failed, Here's How and Why. 2023. arXiv
//! 2312.11283.
//! ## sanchez23
//! David Sánchez and others: An examination of the alleged privacy threats of confidence-ranked reconstruction of
//! Census microdata. 2023. arXiv 2311.03171.
//! ## desfontaines19
//! Damien Desfontaines, Andreas Lochbihler, David Basin: Cardinality Estimators do not Preserve Privacy. PoPETs
//! 2019(2). arXiv 1808.05879.
//!
//! # Secure aggregation and state
//!
//! ## bonawitz17
//! Keith Bonawitz and others: Practical Secure Aggregation for Privacy-Preserving Machine Learning. ACM CCS 2017. IACR
//! ePrint 2017/281.
//! ## kairouz21
//! Peter Kairouz, Ziyu Liu, Thomas Steinke: The Distributed Discrete Gaussian Mechanism for Federated Learning with
//! Secure Aggregation. ICML 2021. arXiv 2102.06387.
//! ## elkordy23
//! Ahmed Roushdy Elkordy and others: How Much Privacy Does Federated Learning with Secure Aggregation Guarantee?
//! PoPETs 2023(1). DOI 10.56553/popets-2023-0030.
//! ## ngo24
//! Khac-Hoang Ngo, Johan Östman, Giuseppe Durisi, Alexandre Graell i Amat: Secure Aggregation is Not Private Against
//! Membership Inference Attacks. 2024. arXiv 2403.17775.
//! ## pasquini22
//! Dario Pasquini, Danilo Francati, Giuseppe Ateniese: Eluding Secure Aggregation in Federated Learning via Model
//! Inconsistency. ACM CCS 2022. arXiv 2111.07380.
//! ## salvia22
//! Kwing Hei Li, Pedro Porto Buarque de Gusmão, Daniel Beutel, Nicholas Lane: Secure Aggregation for Federated
//! Learning in Flower. May 2022.
//! ## flowermod
//! adap/flower, `src/py/flwr/client/mod/secure_aggregation/secaggplus_mod.py`, read at commit 003a3c56 of 2024.
//! ## so23
//! Jinhyun So and others: Securing Secure Aggregation: Mitigating Multi-Round Privacy Leakage in Federated Learning.
//! AAAI 2023. arXiv 2106.03328.
//! ## vsss24
//! mikelodder7/vsss-rs, issue 24, 2026, closed: findings of an audit.
//! ## sharks
//! The crate sharks: bias of Shamir polynomials, found by Cure53. GHSA-jp37-5qhw-mffw.
//! ## rote17
//! Sinisa Matetic and others: ROTE: Rollback Protection for Trusted Execution. USENIX Security 2017. IACR ePrint
//! 2017/048.
//!
//! [balle18]: #balle18

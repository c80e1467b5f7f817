//! The look of the report: sober, readable on a phone, in the dark and on paper.

/// The style sheet, within the page.
pub(super) const CSS: &str = "
:root{color-scheme:light dark;--paper:#fff;--ink:#1b2530;--soft:#586674;--rule:#d5dce3;--tint:#f4f7f9;--main:#17607a;
--fill:#8fbccb;--band:#cfe3ea;--warn:#a3161b;--warn-ink:#fff}
@media(prefers-color-scheme:dark){:root{--paper:#12181e;--ink:#e4eaef;--soft:#9caab6;--rule:#33404b;--tint:#1a232b;
--main:#7cc4da;--fill:#3d7487;--band:#24434f;--warn:#b3262b}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:58rem;padding:1.5rem 1rem 4rem;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;overflow-wrap:break-word}
h1{font-size:1.7rem;line-height:1.25;margin:.2rem 0 .4rem}
h2{font-size:1.25rem;margin:2.6rem 0 .3rem;padding-top:.8rem;border-top:1px solid var(--rule)}
h3{font-size:1rem;margin:1.4rem 0 .4rem}
p{margin:.5rem 0;max-width:44rem}
code{font:.88em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.meta,figcaption{color:var(--soft);font-size:.88rem}
.banner{background:var(--warn);color:var(--warn-ink);font-weight:700;padding:.8rem 1rem;margin:0 0 1.2rem;
max-width:none;border-radius:4px}
.failed{border-left:4px solid var(--warn);padding:.3rem .8rem}
.summary{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.8rem 1.4rem;background:var(--tint);
border:1px solid var(--rule);border-radius:4px;padding:1rem;margin:1.2rem 0}
.summary dt{color:var(--soft);font-size:.8rem}
.summary dd{margin:0;font-weight:600}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums;margin:.6rem 0}
th,td{text-align:left;padding:.35rem .7rem .35rem 0;border-bottom:1px solid var(--rule);vertical-align:top}
thead th{color:var(--soft);font-weight:600;border-bottom:2px solid var(--rule)}
tbody th{font-weight:400}
th.indent{padding-left:1.4rem}
tr.group th{font-weight:700;background:var(--tint);padding-left:.4rem}
td.number,th.number{text-align:right;white-space:nowrap}
td.suppressed{color:var(--soft);font-style:italic;text-align:center}
figure{margin:1.1rem 0}
svg{display:block;width:100%;min-width:32rem;max-width:44rem;height:auto;
font:12px system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif}
ul.key{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;margin:.2rem 0 .8rem;padding:0;font-size:.88rem}
svg.swatch{display:inline-block;width:1.75rem;min-width:0;height:.5rem;vertical-align:middle}
@media(max-width:48rem){.scroll{background:linear-gradient(to right,var(--paper) 30%,transparent),
linear-gradient(to left,var(--paper) 30%,transparent) 100% 0,linear-gradient(to right,var(--soft),transparent),
linear-gradient(to left,var(--soft),transparent) 100% 0;background-size:2.4rem 100%,2.4rem 100%,.5rem 100%,.5rem 100%;
background-repeat:no-repeat;background-attachment:local,local,scroll,scroll}}
@media screen and (max-width:48rem){td:last-child:not(.number):not(.suppressed){min-width:13rem}}
@media(max-width:30rem){body{padding:1rem .7rem 3rem}svg{min-width:27rem}td,th{padding-right:.5rem}table{font-size:.84rem}}
svg text{fill:var(--ink)}
svg line,svg path{fill:none;stroke-width:1}
svg .grid{stroke:var(--rule)}
svg .axis{stroke:var(--soft)}
svg .whisker{stroke:var(--ink);stroke-width:1.4}
svg .reference{stroke:var(--soft);stroke-dasharray:4 4}
svg .curve{stroke:var(--main);stroke-width:2}
svg .bar{fill:var(--fill)}
svg .box{fill:var(--tint);stroke:var(--soft)}
svg .dot{fill:var(--main)}
svg .hollow{fill:var(--paper);stroke:var(--main);stroke-width:1.5}
svg .diamond{fill:var(--main);stroke:none}
svg .band{fill:var(--band);stroke:none}
svg .curve.g1{stroke:#c4501b;stroke-dasharray:7 3}svg .band.g1{fill:#c4501b;fill-opacity:.16}
svg .curve.g2{stroke:#0b8a63;stroke-dasharray:2 3}svg .band.g2{fill:#0b8a63;fill-opacity:.16}
svg .curve.g3{stroke:#a8558c;stroke-dasharray:9 3 2 3}svg .band.g3{fill:#a8558c;fill-opacity:.16}
svg .curve.g4{stroke:#b58100;stroke-dasharray:12 4}svg .band.g4{fill:#b58100;fill-opacity:.16}
svg .curve.g5{stroke:#3f86c6;stroke-dasharray:4 2 1 2}svg .band.g5{fill:#3f86c6;fill-opacity:.16}
svg .band.g0{fill:var(--main);fill-opacity:.16}
table.risk caption{text-align:left;color:var(--soft);font-size:.85rem}
@media print{:root{color-scheme:light;--paper:#fff;--ink:#000;--soft:#444;--rule:#bbb;--tint:#f4f4f4;--main:#17607a;
--fill:#8fbccb;--band:#dfeaee;--warn:#a3161b;--warn-ink:#a3161b}
body{max-width:none;padding:0;font-size:10.5pt}.banner{background:none;border:2px solid var(--warn)}
.scroll{overflow:visible;background:none}svg{min-width:0;max-width:15cm}table{font-size:8.5pt}th,td{padding:.15rem .4rem .15rem 0}
td:last-child:not(.number){min-width:7rem}h2,h3{break-after:avoid}figure,tr,.summary{break-inside:avoid}
thead{display:table-header-group}.bar,.band,.summary{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
";

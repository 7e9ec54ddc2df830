"""The style sheet of the report's page."""

STYLE = """
:root{--page:#f9f9f7;--card:#fff;--ink:#1a1a19;--soft:#5c5b57;--rule:#e3e2dd;
--ok:#2a78d6;--eose:#b4491a;--delivery:#0f8a68;--good:#0f7b3f;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--page:#131312;--card:#1d1d1b;--ink:#f1f0ec;--soft:#aeada6;--rule:#34332f;
--ok:#5b9dec;--eose:#ec8a55;--delivery:#35bb92;--good:#5cc98a;--bad:#f2877f}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1100px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:22px;line-height:1.3;margin:0;overflow-wrap:anywhere}
h2{font-size:15px;margin:0 0 8px}
.when{color:var(--soft);margin:4px 0 20px}
section,figure{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:16px;margin:0 0 16px}
.verdict{border-left:4px solid var(--good)}
.verdict.bad{border-left-color:var(--bad)}
.verdict h2{color:var(--good)}
.verdict.bad h2{color:var(--bad)}
.verdict ul{margin:0;padding-left:20px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:0 0 16px}
.tiles div{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:12px 14px}
dt{color:var(--soft);font-size:13px}
dd{margin:2px 0 0;font-size:24px;font-weight:600}
dd small{font-size:14px;font-weight:400;color:var(--soft)}
figcaption{font-weight:600;margin-bottom:6px}
.legend{margin:0 0 6px;font-size:13px;color:var(--soft)}
.key{margin-right:16px}
.key::before{content:"";display:inline-block;width:14px;height:3px;border-radius:2px;margin-right:6px;
vertical-align:middle;background:var(--series)}
.ok{--series:var(--ok)}.eose{--series:var(--eose)}.delivery{--series:var(--delivery)}
svg{display:block;width:100%;height:auto;font:11px system-ui,sans-serif}
svg text{fill:var(--soft)}
svg .grid{stroke:var(--rule);stroke-width:1}
svg .line{fill:none;stroke:var(--series);stroke-width:2;stroke-linejoin:round}
svg circle{fill:var(--series);opacity:0}
svg circle:hover{opacity:1}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));gap:0 16px}
figure{margin:0 0 16px;min-width:0}
figcaption small{font-weight:400;color:var(--soft)}
.tables{columns:2 420px;column-gap:16px}
.tables section{break-inside:avoid}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;font-weight:400;vertical-align:top;padding:4px 0;border-top:1px solid var(--rule)}
tr:first-child th,tr:first-child td{border-top:0}
th{color:var(--soft);padding-right:16px;width:38%}
td{overflow-wrap:anywhere}
"""

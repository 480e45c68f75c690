import { encodeQR } from 'qr';
import { formatAddress } from '../terms/address.js';
import type { Kit } from './kit.js';

/**
 * One sheet of A4 to print: the recovery key, the facts, and room for what a person wants to add. It holds the secret, and
 * nothing in it comes from elsewhere.
 * @param recoveryKey in groups separated by hyphens
 * @param ageIdentity `AGE-SECRET-KEY-1…`, for opening backups without this program
 */
export function renderPage(
  { server, identity, address }: Pick<Kit, 'server' | 'identity' | 'address'>,
  recoveryKey: string,
  ageIdentity: string,
): string {
  const groups = recoveryKey.split('-').map((group) => `<span>${group}</span>`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>Recovery key of ${server}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>Recovery key of <b>${server}</b></h1>
<p>This sheet opens every backup of ${server}, and lets its holder be ${server}. Keep it like cash, and away from the
machine. Without it no backup can ever be opened.</p>
<div class="key">${groups.join('')}</div>
<figure>${code(recoveryKey)}<figcaption>The recovery key</figcaption></figure>
<h2>On the worst day</h2>
<ol>
<li>Take a machine with Linux, install Node.js and anemone-peer, and join the VPN of your servers.</li>
<li>With the kit (anemone-kit-${server}.txt): <code>anemone-peer restore --kit anemone-kit-${server}.txt</code><br>
Without it: <code>anemone-peer restore --server ${server} --peer ADDRESS-OF-A-PEER</code></li>
<li>Type the key above. Capitals or not, with hyphens or without; there is no letter O, I, L or U in it.</li>
</ol>
<dl>
<dt>Server</dt><dd>${server}, ${formatAddress(address)}</dd>
<dt>Identity</dt><dd>${identity}</dd>
<dt>For <code>age</code> alone</dt><dd>${ageIdentity}</dd>
</dl>
<h2>Where things are</h2>
<table>
${blankRow('Peers, with addresses')}
${blankRow('')}
${blankRow('Copies of the kit')}
${blankRow('Access to the VPN')}
${blankRow('Printed on, by')}
</table>
</main>
</body>
</html>
`;
}

function code(text: string): string {
  return encodeQR(text, 'svg', { ecc: 'medium', border: 4 }).replace('<svg ', '<svg role="img" ');
}

function blankRow(label: string): string {
  return `<tr><th>${label}</th><td></td></tr>`;
}

/** Black on white, in millimetres and points, for a printer. */
const style = `
@page { size: A4; margin: 0 }
* { box-sizing: border-box }
html, body { margin: 0; background: #fff; color: #000; -webkit-print-color-adjust: exact }
main { width: 210mm; height: 296mm; padding: 14mm 18mm 12mm; overflow: hidden; font: 10.5pt/1.4 sans-serif }
h1 { margin: 0 0 2mm; font-size: 20pt; font-weight: 400 }
h2 { margin: 5mm 0 1mm; font-size: 12pt }
p { margin: 0 }
.key { display: grid; grid-template-columns: repeat(5, auto); justify-content: space-between; gap: 2mm 0; margin: 5mm 0; padding: 4mm 6mm;
  border: .5mm solid #000; font: 700 19pt/1.3 monospace }
figure { margin: 0; text-align: center }
figure svg { display: block; margin: auto; width: 56mm; height: 56mm }
ol { margin: 0; padding-left: 6mm }
code { font: 9.5pt monospace }
dl { display: grid; grid-template-columns: auto 1fr; gap: .5mm 4mm; margin: 3mm 0 0 }
dt { white-space: nowrap }
dd { margin: 0; font: 8.5pt/1.6 monospace; overflow-wrap: anywhere }
table { width: 100%; border-collapse: collapse }
th { width: 1%; padding: 0 4mm 0 0; font-weight: 400; text-align: left; vertical-align: bottom; white-space: nowrap }
td { height: 8.5mm; border-bottom: .2mm solid #000 }
`;

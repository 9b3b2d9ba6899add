// A QR code as one path. The encoder comes with this module, which is loaded when a code is shown.
import { encode } from 'uqr';

const QUIET = 4; // modules around it, as the standard asks

export default function Qr({ text, label }: { text: string; label: string }) {
  const { data, size } = encode(text, { ecc: 'M', border: 0 });
  const path = data.flatMap((row, y) => row.flatMap((isDark, x) => (isDark ? [`M${x + QUIET} ${y + QUIET}h1v1h-1z`] : []))).join('');
  const side = size + 2 * QUIET;
  return (
    <svg class="qr" role="img" aria-label={label} viewBox={`0 0 ${side} ${side}`} shape-rendering="crispEdges">
      <rect class="qr-back" width={side} height={side} /><path class="qr-dark" d={path} />
    </svg>
  );
}

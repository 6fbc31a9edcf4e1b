/** A line chart as SVG: logarithmic both ways, a legend, light and dark. */

const width = 820;
const height = 460;
const left = 70;
const right = 20;
const top = 50;
const bottom = 120;
const colors = ['#8a8f98', '#d97706', '#b91c1c', '#2563eb', '#059669', '#7c3aed'];

export function lineChart({ title, x, xLabel, yLabel, series }) {
  const all = Object.values(series).flat();
  const [least, most] = [10 ** Math.floor(Math.log10(Math.min(...all))), Math.max(...all) * 1.1];
  const px = (value) =>
    left + ((Math.log10(value) - Math.log10(x[0])) / (Math.log10(x.at(-1)) - Math.log10(x[0]))) * (width - left - right);
  const py = (value) =>
    height -
    bottom -
    ((Math.log10(value) - Math.log10(least)) / (Math.log10(most) - Math.log10(least))) * (height - top - bottom);
  const grid = [];
  for (let power = least; power <= most; power *= 10) {
    for (const step of [1, 2, 5]) {
      const value = power * step;
      if (value > most) continue;
      const y = py(value).toFixed(1);
      grid.push(`<line class="grid" x1="${left}" x2="${width - right}" y1="${y}" y2="${y}"/>`);
      grid.push(`<text x="${left - 8}" y="${y}" dy="4" text-anchor="end">${short(value)}</text>`);
    }
  }
  for (const value of x)
    grid.push(`<text x="${px(value).toFixed(1)}" y="${height - bottom + 18}" text-anchor="middle">${short(value)}</text>`);
  const lines = Object.entries(series).map(([, values], i) => {
    const points = values.map((value, at) => `${px(x[at]).toFixed(1)},${py(value).toFixed(1)}`);
    const dots = points.map(
      (point) => `<circle cx="${point.split(',')[0]}" cy="${point.split(',')[1]}" r="3" fill="${colors[i]}"/>`,
    );
    return `<polyline fill="none" stroke="${colors[i]}" stroke-width="2" points="${points.join(' ')}"/>${dots.join('')}`;
  });
  const legend = Object.keys(series).map((name, i) => {
    const [lx, ly] = [left + (i % 3) * 250, height - 48 + Math.floor(i / 3) * 22];
    return `<rect x="${lx}" y="${ly - 9}" width="14" height="4" fill="${colors[i]}"/><text x="${lx + 20}" y="${ly - 3}">${name}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
<style>svg{background:#fff}text{font:12px system-ui,sans-serif;fill:#333}.title{font-size:15px;font-weight:600}.grid{stroke:#ddd}
@media (prefers-color-scheme:dark){svg{background:#15181d}text{fill:#ccc}.grid{stroke:#333}}</style>
<text class="title" x="${left}" y="26">${title}</text>
<text x="${(left + width - right) / 2}" y="${height - bottom + 38}" text-anchor="middle">${xLabel}</text>
<text x="16" y="${(top + height - bottom) / 2}" text-anchor="middle" transform="rotate(-90 16 ${(top + height - bottom) / 2})">${yLabel}</text>
${[...grid, ...lines, ...legend].join('\n')}
</svg>
`;
}

const short = (value) => (value >= 1000 ? `${value / 1000}k` : String(value));

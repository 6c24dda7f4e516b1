/** One bar; its value is above 0. */
interface Bar {
  readonly label: string;
  readonly value: number;
  /** The value as it is written. */
  readonly text: string;
  readonly isOurs: boolean;
}

export interface Panel {
  readonly title: string;
  readonly bars: readonly Bar[];
}

const width = 760;
const labelWidth = 170;
const barWidth = 440;
const barHeight = 18;
const panelGap = 46;

/** Horizontal bars on logarithmic scales, since the values lie up to four powers of ten apart. Readable on light and
 *  dark pages, without fonts of its own. */
export function asChart(title: string, panels: readonly Panel[]): string {
  const parts: string[] = [];
  let y = 30;
  for (const panel of panels) {
    y += panelGap - barHeight;
    parts.push(`<text class="title" x="0" y="${String(y)}">${escaped(panel.title)}</text>`);
    const values = panel.bars.map(({ value }) => value);
    const low = 10 ** Math.floor(Math.log10(Math.min(...values)) - 0.3);
    const high = Math.max(...values);
    for (const { label, value, text, isOurs } of panel.bars) {
      y += barHeight + 4;
      const length = (Math.log(value / low) / Math.log(high / low)) * barWidth;
      parts.push(
        `<text x="${String(labelWidth - 8)}" y="${String(y)}" text-anchor="end">${escaped(label)}</text>`,
        `<rect class="${isOurs ? "ours" : "theirs"}" x="${String(labelWidth)}" y="${String(y - 13)}" ` +
          `width="${length.toFixed(1)}" height="${String(barHeight)}" rx="2"/>`,
        `<text x="${(labelWidth + length + 8).toFixed(1)}" y="${String(y)}">${escaped(text)}</text>`,
      );
    }
  }
  const height = y + 20;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${String(width)} ${String(height)}" role="img">
<title>${escaped(title)}</title>
<style>
text { font: 13px sans-serif; fill: #24292f; }
.title { font-weight: bold; }
.ours { fill: #1a7f64; }
.theirs { fill: #9a9fa6; }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3; } .ours { fill: #3fb68f; } .theirs { fill: #7d848d; } }
</style>
<text x="0" y="16">${escaped(title)}</text>
${parts.join("\n")}
</svg>
`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

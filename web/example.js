/** A sailing boat in a shaky hand, always the same one, so that its second drawing comes from the cache. */

const LINES = {
  hull: ["#1d1b1a", "255,500 320,585 690,590 770,492 255,500"],
  mast: ["#1d1b1a", "505,498 500,330 510,120 560,138 512,160"],
  mainsail: ["#c2183c", "488,150 420,300 310,462 490,458 488,150"],
  jib: ["#c2183c", "530,190 620,330 690,460 528,462 530,190"],
  sun: ["#e8a317", "800,120 850,142 862,190 832,234 780,236 748,198 758,146 800,120"],
  waves: ["#2563c9", "90,610 150,585 210,620 270,640 330,612 400,645 470,615"],
  sea: ["#2563c9", "520,640 590,612 650,650 720,615 790,640 860,608 930,630"],
};
const STEP_PX = 14;
const SHAKE_PX = 7;
const POINTS_A_FRAME = 5;

/** Draws on the pad stroke by stroke, until the user draws; all at once for those who prefer less motion. */
export async function drawExample(pad) {
  pad.clear();
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  for (const { points, ...pen } of shakyStrokes()) {
    for (let shown = 1; shown < points.length && !still; shown += POINTS_A_FRAME) {
      const live = { ...pen, points: points.slice(0, shown) };
      pad.preview(live);
      await new Promise(requestAnimationFrame);
      if (pad.live !== live) return;
    }
    pad.preview(null);
    pad.add({ ...pen, points });
  }
}

/** The corners joined by steps, each a little off, by the same numbers every time. */
function shakyStrokes() {
  let seed = 7;
  const off = () => ((seed = (seed * 16807) % 2147483647) / 2147483647 - 0.5) * SHAKE_PX;
  return Object.values(LINES).map(([colour, line]) => {
    const corners = line.split(" ").map((corner) => corner.split(",").map(Number));
    return { colour, width: 7, points: corners.flatMap((corner, i) => stepsTo(corner, corners[i - 1] ?? corner, off)) };
  });
}

function stepsTo([x, y], [fromX, fromY], off) {
  const count = Math.ceil(Math.hypot(x - fromX, y - fromY) / STEP_PX) || 1;
  return Array.from({ length: count }, (_, i) => {
    const part = (i + 1) / count;
    return [fromX + (x - fromX) * part + off(), fromY + (y - fromY) * part + off()];
  });
}

/** Strokes as smooth curves: points in, path data out, the same for the canvas and for the SVG. */

export const PAPER = { width: 1024, height: 768 };
export const ERASER = "#ffffff";
const MAX_SVG_BYTES = 256 * 1024;

const round = (n) => Math.round(n * 10) / 10;
const text = ([x, y]) => `${round(x)} ${round(y)}`;
const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];

/** A point is [x, y], or [x, y, pressure] from a pen that measures it. Steps of 1/2 keep neighbours in one piece. */
function widthAt(point, width) {
  return point[2] === undefined ? width : Math.max(1, Math.round(width * (0.4 + 1.2 * point[2]) * 2) / 2);
}

/** The stroke as curves of one width each: through the middles of its segments, bent towards its points. */
function pieces({ points, width }) {
  const through = points.length > 1 ? points : [points[0], [points[0][0] + 0.1, points[0][1], points[0][2]]];
  const found = [];
  through.forEach((point, i) => {
    const from = i ? middle(through[i - 1], point) : point;
    const to = i < through.length - 1 ? middle(point, through[i + 1]) : point;
    const last = found.at(-1);
    const pieceWidth = widthAt(point, width);
    if (last?.width === pieceWidth) last.d += `Q${text(point)} ${text(to)}`;
    else found.push({ width: pieceWidth, d: `M${text(from)}Q${text(point)} ${text(to)}` });
  });
  return found;
}

export function stroke(context, mark) {
  context.strokeStyle = mark.colour;
  context.lineCap = context.lineJoin = "round";
  for (const { width, d } of pieces(mark)) {
    context.lineWidth = width;
    context.stroke(new Path2D(d));
  }
}

/** The drawing as SVG, or null when it is larger than the endpoint takes. Pure ASCII: characters are bytes. */
export function svgOf(strokes) {
  const paths = strokes.flatMap((mark) =>
    pieces(mark).map(({ width, d }) => `<path stroke="${mark.colour}" stroke-width="${width}" d="${d}"/>`),
  );
  const open = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${PAPER.width} ${PAPER.height}"`;
  const svg = `${open} fill="none" stroke-linecap="round" stroke-linejoin="round">${paths.join("")}</svg>`;
  return svg.length <= MAX_SVG_BYTES ? svg : null;
}

/** Converts pictures between files, canvases, blobs and base64. */

/** Where a picture of this size lies, whole and centred, on a sheet: x, y, width, height. */
export function contain(picture, sheet) {
  const scale = Math.min(sheet.width / picture.width, sheet.height / picture.height);
  const [width, height] = [picture.width * scale, picture.height * scale];
  return [(sheet.width - width) / 2, (sheet.height - height) / 2, width, height];
}

/** What `paint` draws, on white, as a PNG. White, because many programs show transparency as black. */
export function pngOf({ width, height }, paint) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, width, height);
  paint(context);
  return canvas.convertToBlob();
}

/** The image in this file, no larger than it lies on the sheet: undo keeps it. Its error's message can be shown. */
export async function imageIn(file, sheet) {
  const image = await createImageBitmap(file).catch(() => {
    throw new Error(`“${file.name || "That file"}” is not an image this browser can read. PNG, JPEG and WebP work.`);
  });
  const [width, height] = contain(image, sheet).slice(2).map((side) => Math.max(Math.round(side), 1));
  if (width >= image.width) return image;
  const smaller = new OffscreenCanvas(width, height);
  const context = smaller.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  image.close();
  return smaller;
}

export async function base64Of(blob) {
  const reader = new FileReader();
  const read = new Promise((resolve, reject) => {
    reader.onload = resolve;
    reader.onerror = () => reject(reader.error);
  });
  reader.readAsDataURL(blob);
  await read;
  return reader.result.slice(reader.result.indexOf(",") + 1);
}

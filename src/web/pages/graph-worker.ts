/** Lays graphs out beside the page, which would stand still meanwhile. */
import { layOut, type Shape } from "./graph-layout.js";

addEventListener("message", ({ data }: MessageEvent<Shape>) => postMessage(layOut(data)));

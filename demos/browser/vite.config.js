import { defineConfig } from "vite";

export default defineConfig({
  base: "./", // the page works in any folder of any host
  assetsInclude: ["**/*.onnx"],
  build: { outDir: "../../out/browser", emptyOutDir: true, assetsInlineLimit: 0, modulePreload: false, target: "es2023" },
  worker: { format: "es" },
  server: { fs: { allow: ["../.."] } },
});

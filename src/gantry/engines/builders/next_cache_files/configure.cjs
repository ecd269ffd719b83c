"use strict";
// Runs before the server of Next.js starts: gives it the shared cache, where the environment has Redis and the product has no
// cache of its own.

const path = require("node:path");

module.exports = function configure(config) {
  if (!process.env.GANTRY_REDIS_URL || config.cacheHandler) return;
  try {
    require("./pages.cjs");
  } catch (error) {
    // Another version than those that this was written for works as it always did, with a cache for each instance.
    console.warn(`gantry: the instances do not share a cache with this version of Next.js: ${error.message}`);
    return;
  }
  config.cacheHandler = path.join(__dirname, "pages.cjs");
  config.cacheMaxMemorySize = 0;
  const major = Number(require("next/package.json").version.split(".")[0]);
  if (major < 16 || config.cacheHandlers?.default || config.cacheHandlers?.remote) return;
  const results = path.join(__dirname, "results.cjs");
  config.cacheHandlers = { ...config.cacheHandlers, default: results, remote: results };
};

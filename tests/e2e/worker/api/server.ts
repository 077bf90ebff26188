/** The api of the stand-in worker's image: it is healthy. */
Bun.serve({ port: Number(process.env.GH_API_PORT), fetch: () => Response.json({ status: "ok" }) });
process.on("SIGTERM", () => process.exit(0));

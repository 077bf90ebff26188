/** The deploy-server of the stand-in worker's image: it answers, and deploys nothing. */
Bun.serve({ port: Number(process.env.GH_DEPLOY_PORT), fetch: () => Response.json({ status: "ok" }) });
process.on("SIGTERM", () => process.exit(0));

// What TypeScript reads out of the ABIs: names, arguments and answers of calls, events and errors. It is never run; tools/abi type-checks it.
import type { Abi, AbiParametersToPrimitiveTypes, Address, ExtractAbiErrorNames, ExtractAbiEvent } from "abitype";
import * as abis from "../abi/index.ts";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const holds = <T extends true>(): T => true as T;

// Every one is an ABI, and none was widened to strings.
Object.values(abis) satisfies readonly Abi[];
holds<Same<keyof typeof abis, `${"cloudverse" | "deployer" | "incentives" | "jobRecovery" | "nodeRegistry" | "openToken" | "staking" | "testStablecoin"}Abi`>>();
type Call<A extends Abi, N extends string> = Extract<A[number], { type: "function"; name: N }>;
type Arguments<A extends Abi, N extends string> = AbiParametersToPrimitiveTypes<Call<A, N>["inputs"]>;
type Answers<A extends Abi, N extends string> = AbiParametersToPrimitiveTypes<Call<A, N>["outputs"], "outputs">;

holds<Same<Arguments<typeof abis.cloudverseAbi, "deposit">, readonly [Address, bigint]>>();
holds<Same<Arguments<typeof abis.cloudverseAbi, "matchOrder">[0]["maxSeconds"], number>>();
holds<Same<Arguments<typeof abis.cloudverseAbi, "matchOrder">[0]["maxCost"], bigint>>();
holds<Same<Call<typeof abis.cloudverseAbi, "noSuchCall">, never>>();
// Calls that Cloudverse's fallback hands on are in its ABI.
holds<Same<Arguments<typeof abis.cloudverseAbi, "extend">[2]["addSeconds"], number>>();
holds<Same<Answers<typeof abis.cloudverseAbi, "matchMany">, readonly [bigint]>>();
holds<Same<Answers<typeof abis.stakingAbi, "positionOf">, readonly [bigint, bigint, number]>>();
holds<Same<ExtractAbiEvent<typeof abis.nodeRegistryAbi, "MadeGood">["inputs"][0]["indexed"], true>>();
"CloudWallet_CreditsTooLow" satisfies ExtractAbiErrorNames<typeof abis.cloudverseAbi>;
// @ts-expect-error no such error
"CloudWallet_NoSuchError" satisfies ExtractAbiErrorNames<typeof abis.cloudverseAbi>;

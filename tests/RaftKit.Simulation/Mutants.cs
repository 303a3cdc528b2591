namespace RaftKit.Simulation;
internal static class Mutants { public static int List() => 0; public static int Run(string m, (ulong,ulong) s, bool j) => 0; }

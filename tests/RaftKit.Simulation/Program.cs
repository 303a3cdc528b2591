using RaftKit.Simulation;

return Arguments.Parse(args) switch
{
    { Error: { } error } => Arguments.Refuse(error),
    { ListMutants: true } => Mutants.List(),
    { AllMutants: true } wanted => Mutants.RunAll(wanted.Seeds, wanted.Json),
    { Mutant: { } mutant } wanted => Mutants.Run(mutant, wanted.Seeds, wanted.Json),
    { Seed: { } seed } wanted => OneSeed.Run(seed, wanted.Trace, wanted.Hash, wanted.Json, wanted.History),
    var wanted => Sweep.Run(wanted.Seeds, wanted.Json, wanted.StopAtFirst, wanted.Jobs),
};

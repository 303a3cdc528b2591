using RaftKit.Node.Log;

namespace RaftKit.TestKit.Tests;

/// <summary>The simulated directory and the real one keep the same contract, and so does the log on both.</summary>
public sealed class LogStoreContractTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("raftkit-contract-").FullName;

    public static TheoryData<string> DirectoryChecks => [.. LogStoreContract.OfDirectories.Keys];

    public static TheoryData<string> StoreChecks => [.. LogStoreContract.OfStores.Keys];

    [Theory, MemberData(nameof(DirectoryChecks))]
    public void The_simulated_directory_keeps_the_contract(string check) => LogStoreContract.OfDirectories[check](Simulated());

    [Theory, MemberData(nameof(DirectoryChecks))]
    public void The_directory_on_disk_keeps_the_contract(string check) =>
        LogStoreContract.OfDirectories[check](new DiskLogDirectory(_folder));

    [Theory, MemberData(nameof(StoreChecks))]
    public void The_segmented_log_keeps_the_contract_on_the_simulated_directory(string check) =>
        LogStoreContract.OfStores[check](Simulated(), Open);

    [Theory, MemberData(nameof(StoreChecks))]
    public void The_segmented_log_keeps_the_contract_on_disk(string check) =>
        LogStoreContract.OfStores[check](new DiskLogDirectory(_folder), Open);

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static SimulatedDisk Simulated() => new("disk", new SimulatedRandom(1), new FaultCounters());

    private static ILogStore Open(ILogDirectory directory, out RecoveredLog found) =>
        SegmentedLog.Open(directory, new SegmentedLogOptions { SegmentBytes = 64 << 10, FirstSegmentBytes = 16 << 10 }, out found);
}

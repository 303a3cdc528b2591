using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using RaftKit.Node.Loop;

namespace RaftKit.Hosting;

/// <summary>Makes members for production.</summary>
/// <param name="time">The wall clock.</param>
/// <param name="loggers">Where the member's parts log.</param>
/// <param name="environment">Says where relative paths begin; null without a host.</param>
internal sealed class ClusterMemberFactory(TimeProvider time, ILoggerFactory loggers, IHostEnvironment? environment) : IClusterMemberFactory
{
    public IClusterMember Create(RaftKitOptions options, IReadOnlyList<IStateMachine> machines)
    {
        var root = environment?.ContentRootPath is { Length: > 0 } contentRoot ? contentRoot : Directory.GetCurrentDirectory();
        return new ClusterMember(options, Path.GetFullPath(options.DataDirectory, root), machines, time, loggers);
    }
}

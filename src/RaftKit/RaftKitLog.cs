using Microsoft.Extensions.Logging;

namespace RaftKit;

/// <summary>What the package itself logs. The node's and the sessions' messages are in their projects' catalogues.</summary>
internal static partial class RaftKitLog
{
    [LoggerMessage(EventId = 1, Level = LogLevel.Information,
        Message = "Member {Member} of cluster '{Cluster}' started with its data in {DataDirectory}")]
    public static partial void Started(ILogger logger, int member, string cluster, string dataDirectory);

    [LoggerMessage(EventId = 2, Level = LogLevel.Information, Message = "Member {Member} of cluster '{Cluster}' stopped in order")]
    public static partial void Stopped(ILogger logger, int member, string cluster);

    [LoggerMessage(EventId = 3, Level = LogLevel.Critical,
        Message = "Member {Member} of cluster '{Cluster}' stopped by itself and takes no more part in the quorum. The host process runs on; restart it when the cause is mended")]
    public static partial void Failed(ILogger logger, int member, string cluster, Exception cause);

    [LoggerMessage(EventId = 4, Level = LogLevel.Information,
        Message = "Member {Member} of cluster '{Cluster}' has no other members configured: it is a quorum of one")]
    public static partial void Alone(ILogger logger, int member, string cluster);

    [LoggerMessage(EventId = 5, Level = LogLevel.Warning,
        Message = "Member {Member} of cluster '{Cluster}' listens on {Endpoint} in plain text, as AllowPlainText asks: whoever reaches it can read and write everything")]
    public static partial void PlainText(ILogger logger, int member, string cluster, string endpoint);

    [LoggerMessage(EventId = 6, Level = LogLevel.Error, Message = "Member {Member} of cluster '{Cluster}' did not stop in order")]
    public static partial void StopFailed(ILogger logger, int member, string cluster, Exception cause);

    [LoggerMessage(EventId = 7, Level = LogLevel.Debug,
        Message = "Member {Member} rehearsed a failover in {Milliseconds} ms; it succeeded: {Succeeded}")]
    public static partial void Rehearsed(ILogger logger, int member, bool succeeded, long milliseconds);

    [LoggerMessage(EventId = 8, Level = LogLevel.Warning,
        Message = "Member {Member} could not rehearse a failover: the first real one may be some tens of milliseconds slower")]
    public static partial void RehearsalFailed(ILogger logger, int member, Exception cause);
}

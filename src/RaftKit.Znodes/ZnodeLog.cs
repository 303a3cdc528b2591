using Microsoft.Extensions.Logging;
using RaftKit.Znodes.Sessions;

namespace RaftKit.Znodes;

/// <summary>What the znodes' room logs.</summary>
internal static partial class ZnodeLog
{
    [LoggerMessage(EventId = 301, Level = LogLevel.Information,
        Message = "Session {Session:x} opened on member {Member} with a timeout of {Timeout} ms")]
    public static partial void Opened(ILogger logger, long session, int member, int timeout);

    [LoggerMessage(EventId = 302, Level = LogLevel.Information, Message = "Session {Session:x} of member {Member} ended: {Cause}")]
    public static partial void Ended(ILogger logger, long session, int member, SessionEnd cause);

    [LoggerMessage(EventId = 303, Level = LogLevel.Warning,
        Message = "Session {Session:x} was given up: the quorum has not answered for it for {Timeout} ms, so it may have expired. It is being closed; open a new one")]
    public static partial void GivenUp(ILogger logger, long session, int timeout);

    [LoggerMessage(EventId = 304, Level = LogLevel.Information,
        Message = "Expiry of session {Session:x} proposed at index {AsOf} of term {Term}: {Cause}")]
    public static partial void ExpiryProposed(ILogger logger, long session, long asOf, long term, SessionEnd cause);

    [LoggerMessage(EventId = 305, Level = LogLevel.Information,
        Message = "Expiry of session {Session:x} was voided: the log shows it alive after it was judged")]
    public static partial void Spared(ILogger logger, long session);

    [LoggerMessage(EventId = 306, Level = LogLevel.Error,
        Message = "A watch callback threw on {Type} of {Path} at zxid {Zxid:x}; the watch goes on")]
    public static partial void CallbackFailed(ILogger logger, Exception failure, WatchEventType type, string path, long zxid);

    [LoggerMessage(EventId = 307, Level = LogLevel.Error,
        Message = "Session {Session:x} was closed: {Capacity} events wait for its watch callbacks. A callback must return soon; use EventsAsync for slow work")]
    public static partial void Overflowed(ILogger logger, long session, int capacity);

    [LoggerMessage(
        EventId = 308, Level = LogLevel.Warning, Message = "A session message from member {Member} was not understood: {Reason}")]
    public static partial void Garbled(ILogger logger, int member, string reason);

    [LoggerMessage(EventId = 309, Level = LogLevel.Information,
        Message = "Judging the contact of {Count} sessions as leader of term {Term}, from index {Index} on")]
    public static partial void JudgingBegan(ILogger logger, int count, long term, long index);

    [LoggerMessage(EventId = 310, Level = LogLevel.Error, Message = "A callback of session {Session:x}'s Expired token threw")]
    public static partial void ExpiredCallbackFailed(ILogger logger, Exception failure, long session);
}

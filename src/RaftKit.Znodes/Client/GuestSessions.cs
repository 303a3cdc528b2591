using System.Security.Cryptography;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;
using RaftKit.Znodes.Sessions;

namespace RaftKit.Znodes;

/// <summary>
/// The door for clients that are connected through this member (ZooKeeper's wire protocol): any number of sessions at once, each with its
/// own order of calls, answers and events. They outlive their connection and this member: a client that was cut off takes its session up
/// through any member, by its id and password.
/// </summary>
internal sealed class GuestSessions(SessionKeeper keeper, Func<INodeInbox> inbox)
{
    public static ReadOnlyMemory<byte> NewPassword() => RandomNumberGenerator.GetBytes(SessionCommand.PasswordLength);

    /// <summary>Opens a session. Cancelled, it is closed as soon as it is open.</summary>
    /// <param name="timeout">What the client asks for; the session says what it was given.</param>
    /// <param name="password">From <see cref="NewPassword"/>.</param>
    /// <param name="cancellationToken">Stops the wait.</param>
    /// <exception cref="NotAppliedException">The node is too busy, or has stopped.</exception>
    public Task<GuestSession> OpenAsync(TimeSpan timeout, ReadOnlyMemory<byte> password, CancellationToken cancellationToken = default)
    {
        if (password.Length != SessionCommand.PasswordLength)
            throw new ArgumentException(
                $"A session's password has {SessionCommand.PasswordLength} bytes, not {password.Length}.", nameof(password));
        return BeginAsync(timeout, new Guest(password.ToArray(), 0, 0), cancellationToken);
    }

    /// <summary>
    /// Takes a session up. What is done through the connection that it had before is refused from then on (<see
    /// cref="ZnodeError.SessionMoved"/>), and what this member then shows is never older than anything that the client was shown before.
    /// </summary>
    /// <param name="id">The session.</param>
    /// <param name="password">Its password, as the client shows it.</param>
    /// <param name="lastZxid">The newest state that the client has seen.</param>
    /// <param name="cancellationToken">
    /// Stops the wait; the session may move here all the same, and is then free to be taken up again.
    /// </param>
    /// <exception cref="SessionExpiredException">
    /// There is no such session for this password: as in ZooKeeper, nobody learns which of the two is wrong.
    /// </exception>
    /// <exception cref="SessionDetachedException">The client has seen a newer state than this cluster has.</exception>
    /// <exception cref="NotAppliedException">The node is too busy, or has stopped.</exception>
    public Task<GuestSession> TakeUpAsync(
        long id, ReadOnlyMemory<byte> password, long lastZxid = 0, CancellationToken cancellationToken = default)
    {
        // A wrong length is a wrong password: nothing that the log need be asked about.
        if (id == 0 || password.Length != SessionCommand.PasswordLength)
            throw LocalSession.NoSuchSession(id);
        return BeginAsync(keeper.Options.SessionTimeout, new Guest(password.ToArray(), id, lastZxid), cancellationToken);
    }

    private async Task<GuestSession> BeginAsync(TimeSpan timeout, Guest guest, CancellationToken cancellationToken)
    {
        var session = new LocalSession(keeper, timeout, inbox(), guest);
        var add = new AddCall(keeper, session);
        session.Inbox.Post(new NodeInput.Call(add));
        if (add.Refusal is { } refusal)
            throw new NotAppliedException(refusal);
        var opened = new GuestSession(session, guest);
        try
        {
            await opened.Session.OpenedAsync(cancellationToken);
            return opened;
        }
        catch
        {
            opened.Detach();
            throw;
        }
    }
}

/// <summary>A client's session while it is attached through this member. Any thread.</summary>
internal sealed class GuestSession(LocalSession session, Guest guest)
{
    public long Id => session.Id;

    public TimeSpan Timeout => session.Timeout;

    public ReadOnlyMemory<byte> Password => guest.Password;

    /// <summary>
    /// Reads, writes and watches in the session's order. Its <see cref="IZnodeSession.Expired"/> is cancelled when this member serves it no
    /// more, whatever became of it: see <see cref="Leave"/>. To dispose it is to close the session; a lost connection is <see
    /// cref="Detach"/>.
    /// </summary>
    public IZnodeSession Session { get; } = new ZnodeSession(session);

    /// <summary>Why this member serves it no more; null while it does.</summary>
    public SessionLeave? Leave => session.Leave;

    /// <summary>The client was heard: with every request and ping. Nothing else keeps its session alive.</summary>
    public void Touch() => guest.Touch();

    /// <summary>Ends the session: its ephemerals go at once.</summary>
    public Task CloseAsync(CancellationToken cancellationToken = default) => Session.CloseAsync(cancellationToken);

    /// <summary>The connection is gone. The session lives on until its timeout, or until it is taken up again.</summary>
    public void Detach() => session.Detach();
}

/// <summary>
/// This member serves a client's session no more: it was taken up through another connection, or this member lost touch with the quorum, or
/// stops. The session may live: the client is to take it up again.
/// </summary>
internal sealed class SessionDetachedException(long sessionId, bool moved, string message) : Exception(message)
{
    public long SessionId { get; } = sessionId;

    /// <summary>It was taken up through another connection (ZooKeeper's SessionMoved); otherwise only this connection is lost.</summary>
    public bool Moved { get; } = moved;
}

namespace RaftKit.Node.Log;

/// <summary>
/// Reads a stopped member's data directory from its first byte to its last, and says what is in it and what is wrong with it. It changes
/// nothing, and says exactly what a start of the member would: <see cref="LogReport.CanStart"/>.
/// </summary>
/// <example>
/// <code>
/// var report = await LogVerifier.VerifyAsync("/var/lib/app/raft");
/// Console.WriteLine(report);
/// return report.CanStart ? 0 : 1;
/// </code>
/// </example>
public static class LogVerifier
{
    /// <summary>
    /// Verifies a directory. Any thread; reads on a thread of the pool. While it runs, a member that is started there waits two seconds and
    /// is then refused: both would see the other's half-done work. Memory: twice the largest batch of the log and about 1 MiB, however
    /// large the directory is.
    /// </summary>
    /// <param name="directory">
    /// The member's data directory (<c>RaftKit:DataDirectory</c>), or a copy of it. May be on a read-only file system.
    /// </param>
    /// <param name="cancellationToken">Ends it early, at the next 256 KiB.</param>
    /// <returns>What was found. Damage is in the report, never an exception.</returns>
    /// <exception cref="DirectoryNotFoundException">There is no such directory.</exception>
    /// <exception cref="DirectoryInUseException">A member runs in it: stop that, or verify a copy.</exception>
    /// <exception cref="UnauthorizedAccessException">This process may not read it.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static Task<LogReport> VerifyAsync(string directory, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(directory);
        return Task.Run(() => Verify(new ReadOnlyLogDirectory(directory), cancellationToken), cancellationToken);
    }

    internal static LogReport Verify(ILogDirectory directory, CancellationToken cancellationToken)
    {
        using var held = directory.Lock();
        return new LogVerification(new UnreadableAsRot(directory), cancellationToken).Run();
    }
}
